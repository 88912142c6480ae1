"""Export graph: one slice, with every membrane as a named input and a named output.

    in    frames [B,P,h,w], state.<layer> [B,C,H,W]
    out   p3, p4, p5; next_state.<layer> [B,C,H,W]; spikes.<layer> int64 [B]

Membranes in module buffers would become constants of the graph without any error, and every slice would
start from the initial state.

Shapes: B batch, P channels of the frame, h and w input pixels, C, H, W of a membrane.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikewatch.model.detector import Detector
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.step import State, StepContext
from spikewatch.model.runtime.factorise import factorise_network

FRAMES_NAME = "frames"
LEVEL_NAMES = ("p3", "p4", "p5")
STATE_PREFIX, NEXT_STATE_PREFIX, SPIKES_PREFIX = "state.", "next_state.", "spikes."


class ExportModule(nn.Module):
    """Module for one slice, with tensors and dicts of tensors as inputs and outputs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frames: Tensor, state: State | None = None
    ) -> tuple[HeadLogits, State, dict[str, Tensor]]:
        """Return logits, next membranes and spike sums of each sample, in the order of the layers.

        Only the equivalent ANN needs no state.
        """
        step = StepContext(state or {})
        logits = self.network(frames, step)
        return logits, step.next_state, step.spikes


@dataclass(frozen=True, slots=True)
class ExportArguments:
    """Arguments of an exporter: a module, sample inputs for tracing, and names of inputs and outputs."""

    module: ExportModule
    frames: Tensor
    state: State
    input_names: list[str]
    output_names: list[str]


@torch.inference_mode()
def export_arguments(detector: Detector) -> ExportArguments:
    """Build the export graph of a detector, on the CPU and without batch norms."""
    module = ExportModule(factorise_network(detector.network).cpu()).eval()
    # two samples, because the exporter would treat a batch size of one as constant
    frames = detector.blank_frames(2)
    state = {name: membrane.cpu() for name, membrane in detector.init_state(2).items()}
    _, next_state, spikes = module(frames, state)
    outputs = [
        *LEVEL_NAMES,
        *(NEXT_STATE_PREFIX + name for name in next_state),
        *(SPIKES_PREFIX + name for name in spikes),
    ]
    return ExportArguments(
        module, frames, state, [FRAMES_NAME, *(STATE_PREFIX + name for name in state)], outputs
    )
