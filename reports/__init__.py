"""Tables, plots and pages made of finished runs and the published numbers; nothing is computed anew here."""
