"""What scores got right and wrong: by class, by clip, what was confused with what, and calibration. No torch."""
