"""The graph that is exported: one slice, every membrane an input and an output, each by its name.

    in    frames [B,P,h,w], state.<layer> [B,C,H,W]
    out   p3, p4, p5; next_state.<layer> [B,C,H,W]; spikes.<layer> int64 [B]

Membranes kept in a module buffer would be frozen into the graph without a word: each slice from rest.
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
    """One slice with plain values at its edges."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frames: Tensor, state: State | None = None
    ) -> tuple[HeadLogits, State, dict[str, Tensor]]:
        """Logits, next membranes and spike sums of each sample, in the order in which the layers run.

        Only the ANN twin needs no state.
        """
        step = StepContext(state or {})
        raw = self.network(frames, step)
        return raw, step.next_state, step.spikes


@dataclass(frozen=True, slots=True)
class ExportArguments:
    """A graph with a sample of its inputs, which tracing needs, and the names of its edges in order."""

    module: ExportModule
    frames: Tensor
    state: State
    input_names: list[str]
    output_names: list[str]


@torch.inference_mode()
def export_arguments(detector: Detector) -> ExportArguments:
    """The graph of a detector, on the CPU and without batch norms."""
    graph = ExportModule(factorise_network(detector.network).cpu()).eval()
    # a batch of one would be taken for a constant
    frames = detector.blank_frames(2)
    state = {name: membrane.cpu() for name, membrane in detector.init_state(2).items()}
    _, next_state, spikes = graph(frames, state)
    outputs = [
        *LEVEL_NAMES,
        *(NEXT_STATE_PREFIX + name for name in next_state),
        *(SPIKES_PREFIX + name for name in spikes),
    ]
    return ExportArguments(
        graph, frames, state, [FRAMES_NAME, *(STATE_PREFIX + name for name in state)], outputs
    )
