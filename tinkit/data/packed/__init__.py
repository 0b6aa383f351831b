"""Clips packed in tar shards: their keys, the indexes beside them, and frames read from disk or from afar."""
