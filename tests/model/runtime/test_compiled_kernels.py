"""Each kernel by itself, with every instruction set of this processor, against torch and the pure neuron."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spikewatch.model.network.neuron import ilif_step
from spikewatch.model.runtime.compiled.buffers import Buffer, Layout
from spikewatch.model.runtime.compiled.convolutions import add_conv, add_pass_on, add_pool
from spikewatch.model.runtime.compiled.instruction_sets import INSTRUCTION_SETS, InstructionSet, is_available
from spikewatch.model.runtime.compiled.program import Destination, Neurons, Program, SpikeTarget, Target
from spikewatch.model.runtime.factorise import plain_conv
from tests.model.support.compiled_kernels import SingleOperation, group

HEIGHT, WIDTH = 6, 10
AVAILABLE = [each for each in INSTRUCTION_SETS.values() if is_available(each)]
all_sets = pytest.mark.parametrize("target", AVAILABLE, ids=lambda target: target.name)


def integer_conv(conv: nn.Conv2d, generator: torch.Generator) -> None:
    """Weights whose sums are exact: bytes, one of them 127 so that the scale is one, and the extremes."""
    weight = torch.randint(-127, 128, conv.weight.shape, generator=generator).float()
    weight.view(len(weight), -1)[:, 0] = 127
    weight.view(len(weight), -1)[:, -1] = -127
    conv.weight.data, conv.bias = weight, nn.Parameter(torch.arange(len(weight)).float() / 4)


@all_sets
@pytest.mark.parametrize("d_max", [4, 129, 255])
@pytest.mark.parametrize(
    ("channels", "outputs", "size", "stride"),
    [(16, 48, 1, 1), (32, 16, 3, 1), (16, 32, 3, 2), (16, 18, 1, 1), (32, 32, 7, 1)],
    ids=["1x1", "3x3", "3x3-stride-2", "odd-outputs", "depthwise"],
)
@torch.no_grad()
def test_byte_convolution_equals_torch(
    target: InstructionSet, d_max: int, channels: int, outputs: int, size: int, stride: int
) -> None:
    """All spikes at the largest value occur, so a product that saturates would show."""
    generator = torch.Generator().manual_seed(0)
    depthwise = size == 7
    conv = nn.Conv2d(channels, outputs, size, stride, size // 2, groups=channels if depthwise else 1)
    integer_conv(conv, generator)
    spikes = torch.randint(0, d_max + 1, (1, channels, HEIGHT, WIDTH), generator=generator)
    spikes[:, :, : HEIGHT // 2] = d_max
    expected = conv.double()(spikes.double())[0].permute(1, 2, 0).float()
    buffers: list[Buffer] = []

    def build(program: Program) -> None:
        layout = Layout.GROUPED if depthwise else Layout.SPIKES
        source = program.buffer(layout, HEIGHT, WIDTH, channels, size // 2)
        out = program.output_buffer(*expected.shape)
        buffers.extend((source, out))
        to = Destination(logits=Target(out))
        add_conv(
            program,
            "conv",
            plain_conv(conv.float()),
            source,
            (expected.shape[0], expected.shape[1]),
            d_max,
            to,
        )

    operation = SingleOperation(target, build)
    values = spikes[0].permute(1, 2, 0).to(torch.uint8).numpy()
    operation.view(buffers[0])[:] = group(values) if depthwise else values
    operation.run()
    found = operation.view(buffers[1], output=True)[..., :outputs]
    np.testing.assert_array_equal(found, expected.numpy())


@all_sets
@pytest.mark.parametrize("size", [1, 3])
@torch.no_grad()
def test_float_convolution_equals_torch(target: InstructionSet, size: int) -> None:
    """1x1 and depthwise 3x3, with a residual. Quarters of small integers, so that sums are exact."""
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(32, 32, size, padding=size // 2, groups=32 if size == 3 else 1)
    for tensor in conv.parameters():
        tensor.copy_(torch.randint(-8, 9, tensor.shape, generator=generator) / 4)
    x = torch.randint(-16, 17, (1, 32, HEIGHT, WIDTH), generator=generator) / 4
    residual = torch.randint(-16, 17, (1, 32, HEIGHT, WIDTH), generator=generator) / 4
    expected = (residual + conv(x))[0].permute(1, 2, 0)
    buffers: list[Buffer] = []

    def build(program: Program) -> None:
        source = program.buffer(Layout.FLOATS, HEIGHT, WIDTH, 32, size // 2)
        there = program.buffer(Layout.FLOATS, HEIGHT, WIDTH, 32)
        buffers.extend((source, there))
        to = Destination(residual=Target(there), floats=Target(there))
        add_conv(program, "conv", plain_conv(conv), source, (HEIGHT, WIDTH), 0, to)

    operation = SingleOperation(target, build)
    operation.view(buffers[0])[:] = x[0].permute(1, 2, 0).numpy()
    operation.view(buffers[1])[:] = residual[0].permute(1, 2, 0).numpy()
    operation.run()
    np.testing.assert_array_equal(operation.view(buffers[1]), expected.numpy())


@all_sets
@pytest.mark.parametrize(
    ("d_max", "beta", "gain", "grouped", "dtype"),
    [
        (4, 0.25, 1.0, False, torch.float32),
        (4, 0.3, 0.7, True, torch.float32),
        (255, 1.0, 1.0, False, torch.float32),
        (1, 0.9, 0.5, True, torch.bfloat16),
    ],
    ids=str,
)
def test_neurons_equal_the_pure_function(
    target: InstructionSet, d_max: int, beta: float, gain: float, grouped: bool, dtype: torch.dtype
) -> None:
    """To the last bit, with ties, negative values and values far above D."""
    generator = torch.Generator().manual_seed(1)
    shape = (1, 32, HEIGHT, WIDTH)
    x = torch.randn(shape, generator=generator) * (1.5 * d_max)
    h = torch.randn(shape, generator=generator).to(dtype)
    x[0, :, 0] = torch.arange(WIDTH) / 2 / gain
    h[0, :, 0] = 0
    spikes, left = ilif_step(x, h.float(), torch.tensor(beta), d_max, gain)
    conv = nn.Conv2d(32, 32, 1)
    conv.weight.data, conv.bias = torch.eye(32).view(32, 32, 1, 1), None
    neurons = Neurons("layer", 0, 32, HEIGHT, WIDTH, beta, gain, d_max)
    buffers: list[Buffer] = []

    def build(program: Program) -> None:
        source = program.buffer(Layout.FLOATS, HEIGHT, WIDTH, 32)
        layout = Layout.GROUPED if grouped else Layout.SPIKES
        buffers.extend((source, program.buffer(layout, HEIGHT, WIDTH, 32, 1)))
        to = Destination(spikes=SpikeTarget(neurons, buffers[1]))
        add_conv(program, "identity", plain_conv(conv), source, (HEIGHT, WIDTH), 0, to)

    operation = SingleOperation(target, build, bfloat16=dtype == torch.bfloat16)
    operation.view(buffers[0])[:] = x[0].permute(1, 2, 0).numpy()
    bank = h[0].permute(1, 2, 0).contiguous()
    operation.run(bank.view(torch.int16).numpy() if dtype == torch.bfloat16 else bank.numpy())
    assert torch.equal(bank, left[0].permute(1, 2, 0).to(dtype))
    expected = spikes[0].permute(1, 2, 0).to(torch.uint8).numpy()
    np.testing.assert_array_equal(operation.view(buffers[1]), group(expected) if grouped else expected)
    assert operation.counts[0] == int(spikes.sum())


@all_sets
def test_pooling_equals_torch(target: InstructionSet) -> None:
    x = torch.randn((1, 32, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(2))
    buffers: list[Buffer] = []

    def build(program: Program) -> None:
        buffers.append(program.buffer(Layout.FLOATS, HEIGHT, WIDTH, 32, 2))
        buffers.append(program.buffer(Layout.FLOATS, HEIGHT, WIDTH, 32, 2))
        add_pool(program, buffers[0], Destination(floats=Target(buffers[1])))

    operation = SingleOperation(target, build)
    operation.fill(buffers[0], -np.inf)
    operation.view(buffers[0])[:] = x[0].permute(1, 2, 0).numpy()
    operation.run()
    expected = F.max_pool2d(x, 5, stride=1, padding=2)[0].permute(1, 2, 0)
    np.testing.assert_array_equal(operation.view(buffers[1]), expected.numpy())


@all_sets
def test_upsampling_equals_torch(target: InstructionSet) -> None:
    x = torch.randn((1, 32, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(3))
    buffers: list[Buffer] = []

    def build(program: Program) -> None:
        buffers.append(program.buffer(Layout.FLOATS, HEIGHT, WIDTH, 32))
        buffers.append(program.buffer(Layout.FLOATS, 2 * HEIGHT, 2 * WIDTH, 32))
        add_pass_on(program, "up", buffers[0], Destination(floats=Target(buffers[1])), doublings=1)

    operation = SingleOperation(target, build)
    operation.view(buffers[0])[:] = x[0].permute(1, 2, 0).numpy()
    operation.run()
    expected = F.interpolate(x, scale_factor=2.0, mode="nearest")[0].permute(1, 2, 0)
    np.testing.assert_array_equal(operation.view(buffers[1]), expected.numpy())
