"""Data to look at: contact sheets of what a model is given, and what a split's clips and labels are like."""
