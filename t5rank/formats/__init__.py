"""How JSON and numbers are written and read."""
