"""Native code compiled on the machine that runs it: compilers, the cache of what they made. No torch."""
