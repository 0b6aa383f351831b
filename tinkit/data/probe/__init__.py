"""Whether the clips of a manifest are on disk and can be decoded."""
