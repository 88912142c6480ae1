"""From a configuration to a network."""

from model.config import SpikeYOLOConfig
from model.network import Network
from model.spikeyolo import SpikeYOLO
from model.yolov8 import SpikingYOLOv8


def build_network(config: SpikeYOLOConfig) -> Network:
    """The network that a configuration describes, with PyTorch's own initialisation."""
    return SpikingYOLOv8(config) if config.architecture == "yolov8" else SpikeYOLO(config)
