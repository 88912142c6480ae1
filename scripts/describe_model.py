"""Print every layer of a network: python -m scripts.describe_model [SCALE] [CLASSES] [HEIGHT] [WIDTH]."""

import sys

import torch

from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.shapes import trace_shapes


def main(scale: str = "t", classes: str = "2", height: str = "256", width: str = "320") -> None:
    """A Markdown table, then totals."""
    config = SpikeYOLOConfig(scale, int(classes))
    with torch.device("meta"):
        network = build_network(config)
    print("| layer | channels | kernel | stride | groups | output | MMAC |\n|---|---|---|---|---|---|---|")
    layers = trace_shapes(network, int(height), int(width)).layers
    for layer in layers:
        k = layer.kernel
        print(
            f"| {layer.name} | {k.in_channels} -> {k.out_channels} | {k.size}x{k.size} | {k.stride} "
            f"| {k.groups} | {layer.out_height}x{layer.out_width} | {layer.macs / 1e6:.2f} |"
        )
    neurons = sum(layer.neurons for layer in layers if layer.spiking)
    parameters = sum(p.numel() for p in network.parameters())
    gmac = sum(layer.macs for layer in layers) / 1e9
    print(f"\n{parameters:,} parameters, {gmac:.2f} GMAC a slice (folded), {neurons:,} membranes a session")


if __name__ == "__main__":
    main(*sys.argv[1:])
