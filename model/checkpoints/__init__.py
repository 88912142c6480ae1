"""Weights files: reading, writing, and import of official checkpoints."""
