"""Augmentation of event clips and images, with their boxes."""
