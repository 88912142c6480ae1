"""Benchmarks that anyone can repeat: all rows of a table take turns in one run, so that a busy moment of the
machine meets them all; ratios are to a row of the same table.
"""
