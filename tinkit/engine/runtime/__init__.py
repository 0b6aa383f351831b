"""How a recipe's network runs on this machine: built, placed, in its precision."""
