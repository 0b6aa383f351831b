"""The sound of clips: decoded where it is wanted, and as the spectrograms that a model sees."""
