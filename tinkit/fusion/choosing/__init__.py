"""How a fusion is fitted and chosen: scores out of fold, estimates by source, and the choice among the ways."""
