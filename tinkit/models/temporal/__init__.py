"""Temporal modules of 2D networks, and how they are put into a backbone."""
