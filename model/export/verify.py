"""Verification of an exported file: one slice in the engine compared with PyTorch."""

from dataclasses import dataclass

import numpy as np
import torch

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.export.engines import Engine, NamedArrays
from spikewatch.model.export.graph import (
    FRAMES_NAME,
    LEVEL_NAMES,
    NEXT_STATE_PREFIX,
    SPIKES_PREFIX,
    STATE_PREFIX,
)

EVENT_DENSITY = 0.1
"""Share of non-zero input values, as in a busy scene."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference between an engine and PyTorch over one slice.

    Attributes:
        max_abs_difference: largest absolute difference of any logit or membrane.
        spikes: absolute difference of the spike counts, summed over the layers.
        spikes_fired: spikes counted by PyTorch.
    """

    max_abs_difference: float
    spikes: int
    spikes_fired: int


def named_outputs(output: StepOutput) -> NamedArrays:
    """Return the output of PyTorch under the names of the exported graph."""
    tensors = dict(zip(LEVEL_NAMES, output.logits, strict=True))
    tensors |= {NEXT_STATE_PREFIX + name: membrane for name, membrane in output.state.items()}
    tensors |= {SPIKES_PREFIX + name: count for name, count in output.spikes.items()}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def compare(detector: Detector, engine: Engine) -> Difference:
    """Run the second slice of a stream in both, from PyTorch's membranes after the first slice."""
    generator = torch.Generator().manual_seed(0)
    shape = detector.blank_frames().shape
    first, second = (
        torch.where(torch.rand(shape, generator=generator) < EVENT_DENSITY, 0.25, 0.0) for _ in range(2)
    )
    state = detector.step(first, detector.init_state()).state
    expected = named_outputs(detector.step(second, state))
    inputs = {STATE_PREFIX + name: membrane.cpu().numpy() for name, membrane in state.items()}
    return difference(engine(inputs | {FRAMES_NAME: second.numpy()}), expected)


def difference(outputs: NamedArrays, expected: NamedArrays) -> Difference:
    """Compare all outputs, which must have the same names."""
    assert outputs.keys() == expected.keys()
    counts = [name for name in expected if name.startswith(SPIKES_PREFIX)]
    values = expected.keys() - set(counts)
    return Difference(
        max(float(np.abs(outputs[name] - expected[name]).max()) for name in values),
        sum(int(np.abs(outputs[name] - expected[name]).sum()) for name in counts),
        sum(int(expected[name].sum()) for name in counts),
    )
