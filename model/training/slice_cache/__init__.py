"""Cache of preprocessed recordings on disk."""
