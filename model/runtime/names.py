"""Names of the runtimes."""

AUTO = "auto"
"""Selects one of the runtimes."""

COMPILED = "compiled"
