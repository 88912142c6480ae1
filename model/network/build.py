"""From a configuration to a network."""

from spikewatch.model.network.base import Network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.spikeyolo import SpikeYOLO
from spikewatch.model.network.yolov8 import SpikingYOLOv8


def build_network(config: SpikeYOLOConfig) -> Network:
    """The network that a configuration describes, with PyTorch's own initialisation."""
    return SpikingYOLOv8(config) if config.architecture == "yolov8" else SpikeYOLO(config)
