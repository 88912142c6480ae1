"""Networks: SpikeYOLO, its variants and Spiking YOLOv8, with explicit state."""
