"""Layers and tensors of the paper's SpikeYOLO, from its configuration alone. Needs no torch.

`trace_shapes` finds the same layers by running the network; tests compare the two for every configuration.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.layer import ConvKernel, Layer

BN_EPS = 1e-3

DFL_BINS = 16
"""Bins of the distribution over each box distance (distribution focal loss)."""

STRIDES = (8, 16, 32)
"""Input pixels on a side of one cell of P3, P4 and P5."""

ANCHORS_PX = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)
"""Width and height of the anchors of P3, P4 and P5 in input pixels: YOLOv5's, for 640x640."""

TOKEN_EXPANSION = 2

ENCODER = "encoder"

Form = Literal["conv_bn", "rep", "sep_rep", "plain"]
"""Modules of a convolution: `ConvBN`, `RepConv`, `SepRepConv`, or a convolution without batch norm."""

Shapes = dict[str, tuple[int, ...]]
"""Name of a tensor -> its shape."""

BATCH_COUNTER = "num_batches_tracked"
"""End of the name of the tensors that are int64; all others are float32."""


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One convolution, with the neurons before it.

    Attributes:
        name: the layer's name in states and counts.
        kernel: the dense kernel that it folds into.
        stride: pixels of the network's input on a side of one pixel of the layer's input.
        form: the modules that hold its tensors.
        bias: True if its first convolution has a bias.
    """

    name: str
    kernel: ConvKernel
    stride: int
    form: Form = "conv_bn"
    bias: bool = False

    @property
    def prefix(self) -> str:
        """Begin of the names of its tensors."""
        return self.name if self.name == ENCODER else f"{self.name}.conv"

    def at(self, height: int, width: int) -> Layer:
        """Return the layer for an input of the network of height x width pixels."""
        return Layer(
            self.name, self.kernel, height // self.stride, width // self.stride, self.name != ENCODER
        )


def output_channels(config: SpikeYOLOConfig) -> int:
    """Return the number of channels of the head logits."""
    if config.head == "anchor_based":
        return len(ANCHORS_PX[0]) * (5 + config.classes)
    return 4 * DFL_BINS + config.classes


def has_plan(config: SpikeYOLOConfig) -> bool:
    """Return whether `plan_layers` supports a configuration: all but ANNs, YOLOv8 and two ablations."""
    return (
        config.architecture == "spikeyolo"
        and config.spiking
        and config.reparameterised
        and config.high_block == "snn2"
    )


def plan_layers(config: SpikeYOLOConfig) -> tuple[PlannedLayer, ...]:
    """Return all layers in the order of execution. The configuration must satisfy `has_plan`."""
    c1, c2, c3, c4 = config.widths
    first = PlannedLayer(ENCODER, ConvKernel(config.in_channels, c1, 7, 4), 1, bias=True)
    return first, *_backbone(config), *_neck(config), *_head(config, (c2, c3, c4))


def _backbone(config: SpikeYOLOConfig) -> Iterator[PlannedLayer]:
    widths, low = config.widths, config.low_block == "snn2"
    stages = zip(widths, config.stage_repeats, (4, 4, 3, 2), (low, low, True, True), strict=True)
    for number, (channels, repeats, expansion, rep) in enumerate(stages):
        stride = 4 << number
        if number:
            kernel = ConvKernel(widths[number - 1], channels, 3, 2)
            yield PlannedLayer(f"down{number}", kernel, stride // 2, bias=True)
        for block in range(repeats):
            yield from _block(f"stage{number + 1}.{block}", channels, expansion, stride, rep)
    last = widths[-1]
    yield PlannedLayer("sppf.reduce", ConvKernel(last, last // 2), 32)
    yield PlannedLayer("sppf.merge", ConvKernel(last // 2 * 4, last), 32)


def _neck(config: SpikeYOLOConfig) -> Iterator[PlannedLayer]:
    _, c2, c3, c4 = config.widths
    low = config.low_block == "snn2"
    yield PlannedLayer("lateral5", ConvKernel(c4, c3), 32)
    yield from _block("top_down4", c3, 3, 16, rep=True)
    yield PlannedLayer("lateral4", ConvKernel(2 * c3, c2), 16)
    yield from _block("top_down3", c2, 4, 8, low)
    yield PlannedLayer("merge3", ConvKernel(2 * c2, c2), 8)
    yield from _block("out3", c2, 4, 8, low)
    yield PlannedLayer("bottom_up3", ConvKernel(c2, c2, 3, 2), 8)
    yield from _block("out4", c3, 3, 16, rep=True)
    yield PlannedLayer("bottom_up4", ConvKernel(c3, c3, 3, 2), 16)
    yield from _block("out5", c4, config.multipliers.last_expansion, 32, rep=True)


def _block(name: str, channels: int, expansion: int, stride: int, rep: bool) -> Iterator[PlannedLayer]:
    """Yield the layers of an SNN-Block; `rep`: SNN-Block-2."""
    inner, hidden = channels * TOKEN_EXPANSION, channels * expansion
    form: Form = "rep" if rep else "conv_bn"
    yield PlannedLayer(f"{name}.token.pw1", ConvKernel(channels, inner), stride)
    yield PlannedLayer(f"{name}.token.dw2", ConvKernel(inner, inner, 7, groups=inner), stride)
    yield PlannedLayer(f"{name}.token.pw3", ConvKernel(inner, channels, 3), stride, "sep_rep")
    yield PlannedLayer(f"{name}.conv1", ConvKernel(channels, hidden, 3), stride, form)
    yield PlannedLayer(f"{name}.conv2", ConvKernel(hidden, channels, 3), stride, form)


def head_widths(config: SpikeYOLOConfig, p3_channels: int) -> tuple[int, int]:
    """Return the hidden channels of the box branch and of the class branch of the anchor-free head."""
    return max(16, p3_channels // 4, 4 * DFL_BINS), max(p3_channels, min(config.classes, 100))


def _head(config: SpikeYOLOConfig, channels: tuple[int, int, int]) -> Iterator[PlannedLayer]:
    box_width, class_width = head_widths(config, channels[0])
    for level, (c, stride) in enumerate(zip(channels, STRIDES, strict=True)):
        if config.head == "anchor_based":
            kernel = ConvKernel(c, output_channels(config))
            yield PlannedLayer(f"head.out.{level}", kernel, stride, "plain", bias=True)
            continue
        branches = ("box", box_width, 4 * DFL_BINS), ("cls", class_width, config.classes)
        for branch, hidden, outputs in branches:
            name = f"head.{branch}.{level}"
            yield PlannedLayer(f"{name}.conv1", ConvKernel(c, hidden, 3), stride)
            yield PlannedLayer(f"{name}.conv2", ConvKernel(hidden, hidden, 3), stride)
            yield PlannedLayer(f"{name}.out", ConvKernel(hidden, outputs), stride, "plain", bias=True)


def tensor_shapes(config: SpikeYOLOConfig) -> Shapes:
    """Return the tensors of a weights file of a configuration that satisfies `has_plan`."""
    shapes: Shapes = {}
    for layer in plan_layers(config):
        shapes |= {f"{layer.prefix}.{name}": shape for name, shape in _form_shapes(layer).items()}
        if config.beta_mode == "learned" and layer.name != ENCODER:
            shapes[f"{layer.name}.lif.beta"] = ()
    return shapes


def _form_shapes(layer: PlannedLayer) -> Shapes:
    kernel = layer.kernel
    inputs, outputs = kernel.in_channels, kernel.out_channels
    match layer.form:
        case "rep":
            return {
                "pw1.weight": (inputs, inputs, 1, 1),
                **_batch_norm("pad.bn", inputs),
                "dw.weight": (inputs, 1, 3, 3),
                "pw2.weight": (outputs, inputs, 1, 1),
                **_batch_norm("inner_bn", outputs),
                **_batch_norm("bn", outputs),
            }
        case "sep_rep":
            return {
                **_batch_norm("pad.bn", inputs),
                "pw.weight": (outputs, inputs, 1, 1),
                "dw.weight": (outputs, 1, 3, 3),
                **_batch_norm("bn", outputs),
            }
    name = "" if layer.form == "plain" else "conv."
    weight = (outputs, inputs // kernel.groups, kernel.size, kernel.size)
    bias: Shapes = {f"{name}bias": (outputs,)} if layer.bias else {}
    norm = {} if layer.form == "plain" else _batch_norm("bn", outputs)
    return {f"{name}weight": weight, **bias, **norm}


def _batch_norm(name: str, channels: int) -> Shapes:
    per_channel = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in per_channel} | {f"{name}.{BATCH_COUNTER}": ()}
