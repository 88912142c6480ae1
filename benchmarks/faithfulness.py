"""How many spikes differ from the reference when weights are rounded.

    python -m benchmarks.faithfulness [RECORDING] [--weights W] [--slices N]

A layer's share is that of its neurons which fire another integer than those of the reference. Each slice
starts from the membranes of the reference. `alone`: each layer is fed the spikes of the reference, so only
its own rounding counts. `through the network`: differences pass from layer to layer, and grow: the last bit
of a float32 moves one neuron in a hundred by the end. Scores, which hardly notice:
`spikewatch evaluate DATASET --state carry --runtime int8`.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.runtime.cpu import PRECISIONS
from spikewatch.model.runtime.ilif_cpu import FusedILIF
from spikewatch.service.inference.sources import RecordingSource

BUNDLED_RECORDING = Path("service/assets/street_td.dat")


def load_frames(path: Path, detector: Detector, slices: int) -> Iterator[Tensor]:
    """The first slices of a recording as network input [1,P,h,w]."""
    spec = detector.spec
    with open_recording(path) as recording:
        source = RecordingSource(recording, spec.slice_us, spec.representation)
        box = Letterbox.fit(*recording.sensor_size(), spec)
        for _, part in zip(range(slices), source.slices(), strict=False):
            yield torch.from_numpy(preprocess(part.frame, box, spec))[None]


@contextmanager
def record_spikes(detector: Detector) -> Iterator[list[Tensor]]:
    """Collects what each layer fires, in the order of layers."""
    fired: list[Tensor] = []
    neurons = [module for module in detector.network.modules() if isinstance(module, ILIF)]
    hooks = [each.register_forward_hook(lambda _m, _in, out: fired.append(out)) for each in neurons]
    yield fired
    for hook in hooks:
        hook.remove()


@contextmanager
def compare_spikes(expected: list[Tensor], corrected: bool) -> Iterator[list[float]]:
    """Collects each packed layer's share of neurons that differ; `corrected` then puts them right."""
    differing: list[float] = []
    original = FusedILIF.__call__

    def call(self: FusedILIF, x: Tensor, bank: Tensor, rows: int, counts: int) -> Tensor:
        out = original(self, x, bank, rows, counts)
        right = expected[len(differing)]
        differing.append(float((out.float() != right).float().mean()))
        return out.copy_(right) if corrected else out

    with mock.patch.object(FusedILIF, "__call__", call):
        yield differing


def differing_shares(
    reference: Detector, runtime: str, frames: list[Tensor], corrected: bool
) -> dict[str, float]:
    """By layer, the share of neurons that fire otherwise, mean of all frames."""
    other = Detector(reference.network, reference.spec, runtime=runtime)
    names = [layer.name for layer in reference.layers if layer.spiking]
    moved = dict.fromkeys(names, 0.0)
    state = reference.init_state()
    for frame in frames:
        with record_spikes(reference) as expected:
            following = reference.step(frame, state).state
        with compare_spikes(expected, corrected) as differing:
            other.step(frame, state)
        for name, share in zip(names, differing, strict=True):
            moved[name] += share / len(frames)
        state = following
    return moved


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path, nargs="?", default=BUNDLED_RECORDING)
    parser.add_argument("--weights")
    parser.add_argument("--slices", type=int, default=40)
    given = parser.parse_args()
    reference = load_detector(given.weights)
    frames = list(load_frames(given.recording, reference, given.slices))
    print(f"{reference.spec.name}, {given.recording.name}, {len(frames)} slices; percent of neurons\n")
    print("| runtime | alone, mean | alone, worst layer | through the network, mean |\n|---|---:|---|---:|")
    for runtime in PRECISIONS:
        alone, through = (
            differing_shares(reference, runtime, frames, corrected) for corrected in (True, False)
        )
        worst = max(alone, key=lambda name: alone[name])
        means = (sum(found.values()) / len(found) for found in (alone, through))
        own, all_ = (f"{mean:.4%}" for mean in means)
        print(f"| {runtime} | {own} | {worst} {alone[worst]:.4%} | {all_} |")


if __name__ == "__main__":
    torch.inference_mode()(main)()
