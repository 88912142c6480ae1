"""Training and evaluation: data sets, augmentation, batch loading, training runs, scores."""
