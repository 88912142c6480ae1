"""Developer scripts, run as `python -m scripts.NAME` from the repository root."""
