"""Training runs: loss, optimiser step, moving average, logs and checkpoints."""
