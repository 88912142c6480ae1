"""Networks that every runtime must compute alike."""

import torch

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.network.config import SpikeYOLOConfig

SLICES = 4

FUSIBLE = [
    SpikeYOLOConfig("t"),
    SpikeYOLOConfig("n", d_max=2, beta=0.5),
    SpikeYOLOConfig("t", beta=0.5, input_gain=0.5),
    SpikeYOLOConfig("t", low_block="snn2", head="anchor_based"),
    SpikeYOLOConfig("t", beta_mode="learned"),
    SpikeYOLOConfig("t", d_max=255),
]


def on(runtime: str, detector: Detector) -> Detector:
    return Detector(detector.network, detector.spec, runtime=runtime)


def equal(a: StepOutput, b: StepOutput) -> bool:
    same_spikes = list(a.spikes) == list(b.spikes) and all(
        torch.equal(n, b.spikes[k]) for k, n in a.spikes.items()
    )
    return same_spikes and all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
