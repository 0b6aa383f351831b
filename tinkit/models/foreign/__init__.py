"""Foreign checkpoints: read safely, recognised, renamed, accounted for, and written back."""
