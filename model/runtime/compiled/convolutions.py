"""Operations of one convolution: choice of kernel, tile and packing."""

from dataclasses import dataclass

from spikewatch.model.runtime.compiled.buffers import Buffer, Layout
from spikewatch.model.runtime.compiled.emitter import LANES
from spikewatch.model.runtime.compiled.kernels.dense import DenseConv
from spikewatch.model.runtime.compiled.kernels.depthwise import DepthwiseBytes, DepthwiseFloats
from spikewatch.model.runtime.compiled.kernels.pool import MaxPool
from spikewatch.model.runtime.compiled.kernels.resample import FrameRows, PassOn
from spikewatch.model.runtime.compiled.program import Destination, Program
from spikewatch.model.runtime.compiled.tiling import dense_tile, depthwise_pixels
from spikewatch.model.runtime.compiled.weights import (
    pack_dense,
    pack_depthwise_bytes,
    pack_depthwise_floats,
)
from spikewatch.model.runtime.plain_network import PlainConv

FRAME_BORDER = 2
"""Padding of the encoder's 7x7 kernel."""

FRAME_SLACK = 16
"""Floats after a row of the frame: its border, and values that the last tile reads."""


def frame_buffer(program: Program, planes: int, height: int, width: int) -> Buffer:
    """Allocate the padded frame: a row holds the rows of all planes."""
    rows = height + 2 * FRAME_BORDER + 1
    return program.buffer(Layout.FLOATS, rows, 1, planes * (width + FRAME_SLACK))


def add_frame(program: Program, frame: Buffer, planes: int, height: int, width: int) -> None:
    """Copy the frame into its buffer."""
    spec = FrameRows(planes, width, height, 4 * (width + FRAME_SLACK), FRAME_BORDER)
    nothing = Destination()
    program.add("frame", spec, height, frame.offset, program.output_of(width, nothing), nothing)


def add_encoder(
    program: Program, conv: PlainConv, frame: Buffer, height: int, width: int, to: Destination
) -> None:
    """Run the first convolution on the padded frame, height x width outputs."""
    planes, size, stride = conv.in_channels, conv.size, conv.stride
    row = frame.geometry.row // planes
    reads = _Reads(frame.offset, size * planes, size, planes * row * stride, 4 * stride, row)
    _add_dense_kernel(program, "encoder", conv, reads, (height, width), 0, to, planes=True)


def add_conv(
    program: Program,
    label: str,
    conv: PlainConv,
    source: Buffer,
    size: tuple[int, int],
    d_max: int,
    to: Destination,
) -> None:
    """Run a convolution.

    Args:
        program: the program.
        label: name of the layer.
        conv: the convolution; its padding is half its size.
        source: its input.
        size: height and width of the output.
        d_max: largest spike of the input, 0 if the input is floats.
        to: where results go.
    """
    if conv.groups > 1:
        _add_depthwise(program, label, conv, source, size, d_max, to)
    else:
        _add_dense(program, label, conv, source, size, d_max, to)


def _add_dense(
    program: Program,
    label: str,
    conv: PlainConv,
    source: Buffer,
    size: tuple[int, int],
    d_max: int,
    to: Destination,
) -> None:
    g, kernel, stride = source.geometry, conv.size, conv.stride
    first = source.offset + (g.pad - kernel // 2) * (g.row + g.pixel)
    reads = _Reads(first, kernel, kernel * conv.in_channels, g.row * stride, g.pixel * stride, g.row)
    _add_dense_kernel(program, label, conv, reads, size, d_max, to, planes=False)


@dataclass(frozen=True, slots=True)
class _Reads:
    """Input of a dense kernel: its first byte, the runs of values of one output, and steps in bytes."""

    first: int
    runs: int
    run: int
    y_bytes: int
    x_bytes: int
    run_bytes: int


def _add_dense_kernel(
    program: Program,
    label: str,
    conv: PlainConv,
    reads: _Reads,
    size: tuple[int, int],
    d_max: int,
    to: Destination,
    *,
    planes: bool,
) -> None:
    """Run a dense convolution; `planes`: of floats whose channels lie in planes."""
    height, width = size
    vectors = -(-conv.out_channels // LANES)
    grouped = not planes and to.spikes is not None and to.spikes.buffer.shape.layout is Layout.GROUPED
    tile = dense_tile(program.target, width, height, vectors, grouped)
    spec = DenseConv(
        width,
        tile.pixels,
        tile.vectors,
        blocks=vectors // tile.vectors,
        runs=reads.runs,
        run=reads.run,
        d_max=d_max,
        y_bytes=reads.y_bytes,
        x_bytes=reads.x_bytes,
        run_bytes=reads.run_bytes,
    )
    weights = pack_dense(conv, tile.vectors, floats=not d_max, planes=planes)
    output = program.output_of(width, to)
    program.add(label, spec, height * spec.blocks, reads.first, output, to, weights)


def _add_depthwise(
    program: Program,
    label: str,
    conv: PlainConv,
    source: Buffer,
    size: tuple[int, int],
    d_max: int,
    to: Destination,
) -> None:
    height, width = size
    g, pixels, output = (
        source.geometry,
        depthwise_pixels(program.target, not d_max),
        program.output_of(width, to),
    )
    spec: DepthwiseBytes | DepthwiseFloats
    if d_max:
        spec = DepthwiseBytes(width, conv.out_channels, conv.size, pixels, g.row, g.pixel, d_max)
        weights = pack_depthwise_bytes(conv)
    else:
        spec = DepthwiseFloats(width, conv.out_channels, pixels, g.row)
        weights = pack_depthwise_floats(conv)
    program.add(label, spec, height, source.offset, output, to, weights)


def add_pool(program: Program, source: Buffer, to: Destination) -> None:
    """Pool a buffer with a border of two."""
    shape, g = source.shape, source.geometry
    spec = MaxPool(shape.width, shape.channels, g.row, g.pixel)
    program.add("pool", spec, shape.height, source.offset, program.output_of(shape.width, to), to)


def add_pass_on(program: Program, label: str, source: Buffer, to: Destination, doublings: int = 0) -> None:
    """Pass stored floats to a destination, upsampled by two if `doublings` is 1."""
    shape = source.shape
    height, width = shape.height << doublings, shape.width << doublings
    spec = PassOn(width, shape.channels, source.geometry, doublings)
    program.add(label, spec, height, source.offset, program.output_of(width, to), to)
