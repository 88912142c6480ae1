"""Batch loading: random clips and continuous streams of recordings, and images."""
