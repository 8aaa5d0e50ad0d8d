"""Reference results: a run that is sized by the clock, for a card that is rented by the minute."""
