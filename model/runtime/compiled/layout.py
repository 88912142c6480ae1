"""Layout of SpikeYOLO as operations: which kernel feeds which neurons, and which buffers share memory.

In the network a layer is neurons, then a convolution. Here an operation is a convolution, then the neurons of
the layer after it, because its results are still in registers. So each step below is given the layer `first`
whose spikes exist already, and the layer `then` that its result feeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spikewatch.model.network.layer import Layer
from spikewatch.model.runtime.compiled.buffers import Buffer, Layout
from spikewatch.model.runtime.compiled.convolutions import (
    add_conv,
    add_encoder,
    add_frame,
    add_pass_on,
    add_pool,
    frame_buffer,
)
from spikewatch.model.runtime.compiled.emitter import LANES
from spikewatch.model.runtime.compiled.program import (
    Destination,
    Neurons,
    Program,
    SpikeTarget,
    Target,
)
from spikewatch.model.runtime.plain_network import PlainNetwork

POOLS = 3


@dataclass(frozen=True, slots=True)
class OutputLevel:
    """Logits of P3, P4 or P5, and how many channels of the buffer they are."""

    buffer: Buffer
    channels: int


class NetworkLayout:
    """Adds the operations of a factorised network to a program.

    Attributes:
        levels: where the logits of P3, P4 and P5 lie.
    """

    def __init__(self, program: Program, network: PlainNetwork, layers: Sequence[Layer]) -> None:
        self._program = program
        self._network = network
        self._layers: Mapping[str, Layer] = {layer.name: layer for layer in layers}
        self._index = {layer.name: i for i, layer in enumerate(x for x in layers if x.spiking)}
        self.levels: list[OutputLevel] = []
        self._build()

    # Layers

    def _spikes(self, name: str) -> SpikeTarget:
        """Allocate the spikes of a layer, in the layout that its convolution reads."""
        layer, lif, first = (
            self._layers[name],
            self._network.neurons[name],
            self._network.convolutions[name][0],
        )
        height, width, channels = layer.in_height, layer.in_width, layer.kernel.in_channels
        neurons = Neurons(
            name, self._index[name], channels, height, width, lif.beta, lif.input_gain, lif.d_max
        )
        layout = Layout.GROUPED if first.groups > 1 else Layout.SPIKES
        pad = first.size // 2
        return SpikeTarget(neurons, self._program.buffer(layout, height, width, channels, pad))

    def _floats(self, height: int, width: int, channels: int, pad: int = 0) -> Buffer:
        return self._program.buffer(Layout.FLOATS, height, width, channels, pad)

    def _run(self, fed: SpikeTarget, to: Destination) -> None:
        """Run the convolutions of a layer on its spikes, whose memory is free then."""
        name = fed.neurons.name
        layer, source, d_max = self._layers[name], fed.buffer, fed.neurons.d_max
        size = (layer.out_height, layer.out_width)
        *inner, last = self._network.convolutions[name]
        for conv, following in zip(inner, [*inner, last][1:], strict=True):
            between = self._floats(*size, conv.out_channels, pad=int(following.groups > 1))
            add_conv(self._program, name, conv, source, size, d_max, Destination(floats=Target(between)))
            self._program.arena.release(source)
            source, d_max = between, 0
        add_conv(self._program, name, last, source, size, d_max, to)
        self._program.arena.release(source)

    # Parts of the network

    def _block(self, name: str, x: Buffer, first: SpikeTarget, then: SpikeTarget | None) -> None:
        """Run an SNN-Block on the residual x, in place."""
        residual = Target(x)
        for following, adds in (
            ("token.dw2", False),
            ("token.pw3", False),
            ("conv1", True),
            ("conv2", False),
        ):
            spikes = self._spikes(f"{name}.{following}")
            self._run(first, Destination(residual, residual, spikes) if adds else Destination(spikes=spikes))
            first = spikes
        self._run(first, Destination(residual, residual, then))

    def _stage(
        self, name: str, repeats: int, before: SpikeTarget | None, then: str
    ) -> tuple[Buffer, SpikeTarget]:
        """Run a downsampling layer (None: the encoder) and a stage; return the residual and `then`."""
        first = self._spikes(f"{name}.0.token.pw1")
        n = first.neurons
        x = self._floats(n.height, n.width, n.channels)
        to = Destination(floats=Target(x), spikes=first)
        if before is None:
            self._encode(n.height, n.width, to)
        else:
            self._run(before, to)
        for i in range(repeats):
            following = self._spikes(f"{name}.{i + 1}.token.pw1" if i + 1 < repeats else then)
            self._block(f"{name}.{i}", x, first, following)
            first = following
        return x, first

    def _encode(self, height: int, width: int, to: Destination) -> None:
        planes, shape = self._network.config.in_channels, self._layers["encoder"]
        (conv,) = self._network.convolutions["encoder"]
        frame = frame_buffer(self._program, planes, shape.in_height, shape.in_width)
        add_frame(self._program, frame, planes, shape.in_height, shape.in_width)
        add_encoder(self._program, conv, frame, height, width, to)

    def _pool_pyramid(self, reduce: SpikeTarget) -> SpikeTarget:
        """Run `sppf.reduce` and three chained poolings; return the neurons that all four feed."""
        merge = self._spikes("sppf.merge")
        n = merge.neurons
        part = n.channels // (POOLS + 1)
        levels = [self._floats(n.height, n.width, part, pad=2) for _ in range(POOLS)]
        self._program.infinite_buffers += levels
        self._run(reduce, Destination(floats=Target(levels[0]), spikes=merge))
        for i, level in enumerate(levels):
            following = Target(levels[i + 1]) if i + 1 < POOLS else None
            add_pool(self._program, level, Destination(floats=following, spikes=merge.at(part * (i + 1))))
        return merge

    def _up(self, name: str, lateral: SpikeTarget, side: Buffer, then: str) -> tuple[Buffer, SpikeTarget]:
        """Run a lateral layer, upsampling and a block, then concatenate `side`.

        Returns:
            The result of the lateral layer, and the spikes of `then`.
        """
        layer = self._layers[lateral.neurons.name]
        low = self._floats(layer.out_height, layer.out_width, layer.kernel.out_channels)
        self._run(lateral, Destination(floats=Target(low)))
        first, joined = self._spikes(f"{name}.token.pw1"), self._spikes(then)
        channels = low.shape.channels
        x = self._floats(2 * layer.out_height, 2 * layer.out_width, channels)
        add_pass_on(self._program, "upsample", low, Destination(floats=Target(x), spikes=first), doublings=1)
        self._block(name, x, first, joined)
        add_pass_on(self._program, "concat", side, Destination(spikes=joined.at(channels)))
        return low, joined

    def _down(self, name: str, before: SpikeTarget, side: Buffer, then: SpikeTarget | None) -> Buffer:
        """Run a downsampling layer, concatenate `side`, run a block; return its result."""
        first = self._spikes(f"{name}.token.pw1")
        n = first.neurons
        x, channels = self._floats(n.height, n.width, n.channels), n.channels - side.shape.channels
        self._run(before, Destination(floats=Target(x), spikes=first))
        to = Destination(floats=Target(x, channels), spikes=first.at(channels))
        add_pass_on(self._program, "concat", side, to)
        self._block(name, x, first, then)
        return x

    def _build(self) -> None:
        """Add all operations, in the order of `SpikeYOLO.forward`."""
        r1, r2, r3, r4 = self._network.config.stage_repeats
        _, spikes = self._stage("stage1", r1, None, "down1")
        x4, spikes = self._stage("stage2", r2, spikes, "down2")
        x6, spikes = self._stage("stage3", r3, spikes, "down3")
        _, spikes = self._stage("stage4", r4, spikes, "sppf.reduce")
        merge = self._pool_pyramid(spikes)
        lateral = self._spikes("lateral5")
        self._run(merge, Destination(spikes=lateral))
        x10, spikes = self._up("top_down4", lateral, x6, "lateral4")
        x14, spikes = self._up("top_down3", spikes, x4, "merge3")
        p3 = self._floats(x4.shape.height, x4.shape.width, x4.shape.channels)
        first, to_p4 = self._spikes("out3.token.pw1"), self._spikes("bottom_up3")
        self._run(spikes, Destination(floats=Target(p3), spikes=first))
        self._block("out3", p3, first, to_p4)
        to_p5 = self._spikes("bottom_up4")
        p4 = self._down("out4", to_p4, x14, to_p5)
        p5 = self._down("out5", to_p5, x10, None)
        for i, level in enumerate((p3, p4, p5)):
            self._head(i, level)

    def _head(self, i: int, level: Buffer) -> None:
        """Add the branches of the head on one level; their logits lie side by side."""
        if self._network.config.head == "anchor_based":
            branches: list[tuple[str, ...]] = [(f"head.out.{i}",)]
        else:
            parts = ("conv1", "conv2", "out")
            branches = [tuple(f"head.{kind}.{i}.{part}" for part in parts) for kind in ("box", "cls")]
        channels = [self._network.convolutions[names[-1]][-1].out_channels for names in branches]
        assert not any(n % LANES for n in channels[:-1]), "the next branch starts at a whole vector"
        shape = level.shape
        out = self._program.output_buffer(shape.height, shape.width, sum(channels))
        self.levels.append(OutputLevel(out, sum(channels)))
        for number, names in enumerate(branches):
            self._branch(names, level, Target(out, sum(channels[:number])))

    def _branch(self, names: Sequence[str], level: Buffer, out: Target) -> None:
        """Run layers on the values of a level."""
        first = self._spikes(names[0])
        add_pass_on(self._program, "fan out", level, Destination(spikes=first))
        for name in names[1:]:
            following = self._spikes(name)
            self._run(first, Destination(spikes=following))
            first = following
        self._run(first, Destination(logits=out))


def unsupported_reason(layers: Sequence[Layer]) -> str | None:
    """Return why a network that int8 supports does not fit the kernels; None if it does."""
    for layer in layers:
        k = layer.kernel
        if layer.spiking and k.in_channels % LANES:
            return f"layer {layer.name} has {k.in_channels} channels, expected a multiple of {LANES}"
    return None
