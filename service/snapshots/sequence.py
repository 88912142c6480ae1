"""The computing side of a stream in a snapshot: membranes, window, and slices that wait for their window."""

import time

import numpy as np
import torch
from torch import Tensor

from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.window import WindowState
from spikewatch.service.snapshots.schema import BufferedSlice
from spikewatch.service.snapshots.validation import membranes


def save_sequence(
    engine: Engine, sequence: SequenceState
) -> tuple[WindowState, tuple[BufferedSlice, ...], dict[str, Tensor]]:
    """Return window, buffered slices, and tensors `state.<layer>`, `logits.<i>.<level>`, `held.<i>`."""
    window, arrays = sequence.window_builder.save()
    arrays |= {f"held.{i}": part.frame for i, part in enumerate(sequence.buffered)}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    tensors |= {f"state.{name}": t[0] for name, t in engine.bank.gather([sequence.slot]).items()}
    return window, tuple(BufferedSlice(p.t0_us, p.t1_us, p.n_events) for p in sequence.buffered), tensors


def load_sequence(
    engine: Engine,
    sequence: SequenceState,
    window: WindowState,
    buffered: tuple[BufferedSlice, ...],
    tensors: dict[str, Tensor],
) -> None:
    """Continue from a validated result of `save_sequence`."""
    now_s = time.monotonic()
    sequence.buffered = [
        InputSlice(p.t0_us, p.t1_us, p.n_events, False, tensors[f"held.{i}"].numpy(), now_s)
        for i, p in enumerate(buffered)
    ]
    logits = {name: t.numpy() for name, t in tensors.items() if name.startswith("logits.")}
    sequence.window_builder.load(window, logits)
    engine.bank.scatter([sequence.slot], membranes(tensors))
