"""What to run (grids), how (local or a cluster), and what came out (records)."""
