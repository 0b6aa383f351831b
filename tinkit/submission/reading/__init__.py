"""A submission's file as it is read: what it is packed in, its rows and JSON entries, and what is wrong there."""
