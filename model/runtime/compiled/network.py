"""The compiled runtime: SpikeYOLO as one program of machine code, on numpy arrays.

Shapes: B batch, P planes, C channels, H height, W width, S slots, L layers.
"""

import logging
import math
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from spikewatch.model.errors import StateError
from spikewatch.model.network.layer import Layer
from spikewatch.model.runtime.compiled.abi import SAMPLE_FIELDS, OpField, SampleField
from spikewatch.model.runtime.compiled.executor import Executor, load_driver, package_source
from spikewatch.model.runtime.compiled.instruction_sets import select_instruction_set
from spikewatch.model.runtime.compiled.layout import NetworkLayout, OutputLevel
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.object_code import load_code
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled.program import Program
from spikewatch.model.runtime.plain_network import Floats, PlainNetwork

log = logging.getLogger("spikewatch.runtime")

Membranes = Mapping[str, npt.NDArray[Any]]
"""Layer name -> membranes [S,H,W,C], float32, or the upper halves of float32 in uint16 (bfloat16)."""

Levels = tuple[Floats, Floats, Floats]
"""Logits of P3, P4 and P5, each [B,C,H,W]."""


def _logits_view(level: OutputLevel) -> tuple[tuple[int, int, int], tuple[int, int, int], int]:
    """Return the shape [C,H,W], strides and offset of a level in the floats of a sample."""
    shape = level.buffer.shape
    strides = (1, shape.width * shape.channels, shape.channels)
    return (level.channels, shape.height, shape.width), strides, level.buffer.offset // 4


class CompiledStep:
    """Step of one slice on rows of a bank of membranes.

    Attributes:
        touched: True once a membrane may have been written.
    """

    def __init__(self, bank: Membranes, rows: Sequence[int]) -> None:
        self.bank = bank
        self.rows = np.array(rows, np.int64)
        self.touched = False


class CompiledNetwork:
    """SpikeYOLO as one compiled program. Not thread-safe.

    Raises:
        ConfigError: the network or the processor is not supported.
    """

    def __init__(
        self,
        network: PlainNetwork,
        layers: Sequence[Layer],
        bfloat16: bool,
        options: CompileOptions | None = None,
    ) -> None:
        start_s = time.perf_counter()
        options = options or CompileOptions.from_environment()
        self.target = select_instruction_set(options.instruction_set)
        cache = ObjectCache(options.cache_folder)
        program = Program(self.target, bfloat16)
        layout = NetworkLayout(program, network, layers)
        source = repr((program.source, package_source()))
        self._code = load_code(program.generate, source, self.target, cache)
        self._program = program
        self._table = program.table()
        self._table[:, OpField.FUNCTION] = [self._code.address(name) for name in program.kernel_names]
        self._names = [layer.name for layer in layers if layer.spiking]
        self._shapes = {
            layer.name: (layer.in_height, layer.in_width, layer.kernel.in_channels)
            for layer in layers
            if layer.spiking
        }
        self._frame_shape = (network.config.in_channels, layers[0].in_height, layers[0].in_width)
        self._frame_bytes = 4 * math.prod(self._frame_shape)
        self._views = [_logits_view(level) for level in layout.levels]
        self._dtype = np.dtype(np.uint16 if bfloat16 else np.float32)
        self._executor = Executor(
            load_driver(self.target, cache), program.arena.nbytes, program.infinite_buffers
        )
        self._bound: list[weakref.ref[npt.NDArray[Any]]] = []
        took_s = round(time.perf_counter() - start_s, 3)
        log.info("network compiled", extra={"instruction_set": self.target.name, "took_s": took_s})

    @property
    def nbytes(self) -> int:
        """Memory of packed weights, code and activations."""
        return self._program.memory.nbytes + self._code.nbytes + self._executor.nbytes

    def run(
        self, frames: Floats, step: CompiledStep, threads: int
    ) -> tuple[Levels, dict[str, npt.NDArray[np.int64]]]:
        """Run one slice of frames [B,P,H,W] on at most `threads` threads.

        Returns the logits, and layer name -> spikes of each sample, int64 [B]. If a membrane is not
        finite, the logits of its sample are NaN, because bytes of spikes cannot carry NaN.

        Raises:
            StateError: the frames or the bank do not fit the network.
        """
        if frames.shape[1:] != self._frame_shape:
            raise StateError(f"frames are {frames.shape[1:]}, expected {self._frame_shape}")
        self._bind(step.bank)
        frames = np.ascontiguousarray(frames, np.float32)
        batch = len(frames)
        counts = np.zeros((batch, len(self._names)), np.int64)
        output = np.empty((batch, self._program.output_bytes // 4), np.float32)
        samples = self._samples(frames, step.rows, counts, output)
        step.touched = True
        self._executor.run(self._table, samples, threads)
        lost = np.flatnonzero((counts < 0).any(1))
        if len(lost):
            output[lost] = np.nan
            np.maximum(counts, 0, out=counts)
        return self._logits(output), dict(zip(self._names, counts.T, strict=True))

    def _bind(self, bank: Membranes) -> None:
        """Write the addresses of a bank into the table. A bank that is bound already is recognised."""
        arrays = list(bank.values())
        if len(arrays) == len(self._bound) and all(
            known() is array for known, array in zip(self._bound, arrays, strict=True)
        ):
            return
        for name, shape in self._shapes.items():
            self._check_membrane(name, bank.get(name), shape)
        for entry in self._program.bank_entries:
            start = bank[entry.neurons.name].ctypes.data
            offset = entry.first_channel * self._program.state_bytes
            self._table[entry.operation, OpField.BANK] = start + offset
        self._bound = list(map(weakref.ref, arrays))

    def _check_membrane(self, name: str, h: npt.NDArray[Any] | None, shape: tuple[int, int, int]) -> None:
        if h is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if h.shape[1:] != shape:
            raise StateError(f"membrane {name!r} is {h.shape[1:]}, expected the input's {shape}")
        if h.dtype != self._dtype or not h.flags.c_contiguous:
            raise StateError(f"membrane {name!r} is not contiguous {self._dtype}; use create_bank()")

    def _samples(
        self, frames: Floats, rows: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], output: Floats
    ) -> npt.NDArray[np.int64]:
        """Return the table of samples."""
        number = np.arange(len(frames))
        samples = np.zeros((len(frames), SAMPLE_FIELDS), np.int64)
        samples[:, SampleField.SLOT] = rows
        samples[:, SampleField.COUNTS] = counts.ctypes.data + number * counts.strides[0]
        samples[:, SampleField.FRAME] = frames.ctypes.data + number * self._frame_bytes
        samples[:, SampleField.OUTPUT] = output.ctypes.data + number * self._program.output_bytes
        return samples

    def _logits(self, output: Floats) -> Levels:
        """Return the logits [B,C,H,W] of the three levels, as views."""
        batch, floats = output.shape
        p3, p4, p5 = (
            as_strided(output[:, start:], (batch, *shape), [4 * s for s in (floats, *strides)])
            for shape, strides, start in self._views
        )
        return p3, p4, p5

    def release(self) -> None:
        """Free weights, code and activations, even if references remain.

        The network cannot run afterwards.
        """
        self._executor.release()
        self._code.release()
        self._program.memory.release()
        self._bound = []
