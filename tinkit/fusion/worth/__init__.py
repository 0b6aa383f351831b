"""What members of a fusion are worth, and what they cost: the account of each, and fusions of fewer."""
