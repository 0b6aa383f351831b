"""Data: annotations, the manifest, frames, clips and batches; synthetic challenges. Knows nothing of models."""
