"""Lists of a manifest's clips for other kits: TSN, mmaction2, PySlowFast."""
