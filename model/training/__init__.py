"""What labels are needed for: data sets, windows before a label, scores. Reads recordings by `ingest`."""
