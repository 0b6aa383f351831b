"""Clips packed: frames decoded, scaled and encoded once, into tar shards with indexes, or into folders."""
