"""Files of every kind: written whole, locked, sealed, and read within bounds."""
