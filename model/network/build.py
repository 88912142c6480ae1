"""Network factory: build a network from its configuration."""

from spikewatch.model.network.base import Network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.spikeyolo import SpikeYOLO
from spikewatch.model.network.yolov8 import SpikingYOLOv8


def build_network(config: SpikeYOLOConfig) -> Network:
    """Build the network of a configuration, with PyTorch's default initialisation."""
    return SpikingYOLOv8(config) if config.architecture == "yolov8" else SpikeYOLO(config)
