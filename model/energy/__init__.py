"""Energy estimates of networks on neuromorphic hardware."""
