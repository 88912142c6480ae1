"""SpikeYOLO: network, runtimes, weights files, energy estimates, export and training."""
