"""What networks cost, and what the choices made for this machine give."""
