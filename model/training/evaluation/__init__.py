"""Evaluation: runs over labelled recordings and images, and COCO metrics."""
