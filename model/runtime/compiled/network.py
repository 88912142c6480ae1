"""The compiled runtime behind the interface of the packed runtimes.

Shapes: B batch, P planes, C channels, H height, W width, S slots, L layers.
"""

import logging
import math
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from spikewatch.model.errors import ConfigError, StateError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.layer import Layer
from spikewatch.model.network.step import State
from spikewatch.model.runtime.compiled.abi import SAMPLE_FIELDS, OpField, SampleField
from spikewatch.model.runtime.compiled.executor import Executor, load_driver, package_source
from spikewatch.model.runtime.compiled.instruction_sets import select_instruction_set
from spikewatch.model.runtime.compiled.layout import NetworkLayout, OutputLevel, unsupported_reason
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.object_code import load_code
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled.program import Program
from spikewatch.model.runtime.factorise import plain_network

log = logging.getLogger("spikewatch.runtime")


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

    def __init__(self, bank: State, rows: Sequence[int]) -> None:
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
        network: Network,
        layers: Sequence[Layer],
        state_dtype: torch.dtype,
        options: CompileOptions | None = None,
    ) -> None:
        reason = unsupported_reason(layers)
        if reason:
            raise ConfigError(f"runtime compiled does not support this network: {reason}; choose int8")
        start_s = time.perf_counter()
        options = options or CompileOptions.from_environment()
        self.target = select_instruction_set(options.instruction_set)
        cache = ObjectCache(options.cache_folder)
        program = Program(self.target, state_dtype == torch.bfloat16)
        layout = NetworkLayout(program, plain_network(network), layers)
        source = repr((program.source, package_source()))
        self._code = load_code(program.generate, source, self.target, cache)
        self._program = program
        self._table = program.table()
        self._table[:, OpField.FUNCTION] = [self._code.address(name) for name in program.kernel_names]
        self._names = [layer.name for layer in layers if layer.spiking]
        self._shapes = {
            layer.name: (layer.kernel.in_channels, layer.in_height, layer.in_width)
            for layer in layers
            if layer.spiking
        }
        self._frame_shape = (network.config.in_channels, layers[0].in_height, layers[0].in_width)
        self._frame_bytes = 4 * math.prod(self._frame_shape)
        self._views = [_logits_view(level) for level in layout.levels]
        self._dtype = state_dtype
        self._executor = Executor(
            load_driver(self.target, cache), program.arena.nbytes, program.infinite_buffers
        )
        self._bound: tuple[Tensor | None, tuple[int, ...]] = (None, ())
        took_s = round(time.perf_counter() - start_s, 3)
        log.info("network compiled", extra={"instruction_set": self.target.name, "took_s": took_s})

    @property
    def nbytes(self) -> int:
        """Memory of packed weights, code and activations."""
        return self._program.memory.nbytes + self._code.nbytes + self._executor.nbytes

    def step(self, bank: State, rows: Sequence[int]) -> CompiledStep:
        """Create a step on rows of a bank of membranes in channels_last."""
        return CompiledStep(bank, rows)

    def run(self, frames: Tensor, step: CompiledStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice; see `BankRuntime.run`.

        If a membrane is not finite, the logits of its sample are NaN, because spikes in bytes cannot carry
        NaN through the network.

        Raises:
            StateError: the frames or the bank do not fit the network.
        """
        if frames.shape[1:] != self._frame_shape:
            raise StateError(f"frames are {tuple(frames.shape[1:])}, expected {self._frame_shape}")
        self._bind(step.bank)
        frames = frames.to(torch.float32).contiguous()
        batch = len(frames)
        counts = np.zeros((batch, len(self._names)), np.int64)
        output = torch.empty(batch, self._program.output_bytes // 4)
        samples = self._samples(frames, step.rows, counts, output)
        step.touched = True
        self._executor.run(self._table, samples, torch.get_num_threads())
        lost = np.flatnonzero((counts < 0).any(1))
        if len(lost):
            output[torch.from_numpy(lost)] = torch.nan
            np.maximum(counts, 0, out=counts)
        spikes = torch.from_numpy(counts.T)
        return self._logits(output), dict(zip(self._names, spikes.unbind(), strict=True))

    def _bind(self, bank: State) -> None:
        """Write the addresses of a bank into the table. A bank that is bound already is recognised."""
        first = bank.get(self._names[0])
        addresses = tuple(map(Tensor.data_ptr, bank.values()))
        if first is not None and first is self._bound[0] and addresses == self._bound[1]:
            return
        for name, shape in self._shapes.items():
            self._check_membrane(name, bank.get(name), shape)
        for entry in self._program.bank_entries:
            start = bank[entry.neurons.name].data_ptr()
            offset = entry.first_channel * self._program.state_bytes
            self._table[entry.operation, OpField.BANK] = start + offset
        self._bound = (first, addresses)

    def _check_membrane(self, name: str, h: Tensor | None, shape: tuple[int, int, int]) -> None:
        if h is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if h.shape[1:] != shape:
            raise StateError(f"membrane {name!r} is {tuple(h.shape[1:])}, expected the input's {shape}")
        if h.dtype != self._dtype or not h.is_contiguous(memory_format=torch.channels_last):
            raise StateError(f"membrane {name!r} is not {self._dtype} in channels_last; use create_bank()")

    def _samples(
        self, frames: Tensor, rows: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], output: Tensor
    ) -> npt.NDArray[np.int64]:
        """Return the table of samples."""
        number = np.arange(len(frames))
        samples = np.zeros((len(frames), SAMPLE_FIELDS), np.int64)
        samples[:, SampleField.SLOT] = rows
        samples[:, SampleField.COUNTS] = counts.ctypes.data + number * counts.strides[0]
        samples[:, SampleField.FRAME] = frames.data_ptr() + number * self._frame_bytes
        samples[:, SampleField.OUTPUT] = output.data_ptr() + number * self._program.output_bytes
        return samples

    def _logits(self, output: Tensor) -> HeadLogits:
        """Return the logits [B,C,H,W] of the three levels, as views."""
        batch, floats = output.shape
        p3, p4, p5 = (
            output.as_strided((batch, *shape), (floats, *strides), start)
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
        self._bound = (None, ())
