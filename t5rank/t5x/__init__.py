"""What T5X's own commands plug in."""
