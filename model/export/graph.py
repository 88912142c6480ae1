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
from spikewatch.model.network.base import Network, RawOutputs
from spikewatch.model.network.step import State, Step
from spikewatch.model.runtime.factorise import factored

FRAMES = "frames"
LEVELS = ("p3", "p4", "p5")
STATE, NEXT_STATE, SPIKES = "state.", "next_state.", "spikes."


class StepGraph(nn.Module):
    """One slice with plain values at its edges."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, frames: Tensor, state: State | None = None
    ) -> tuple[RawOutputs, State, dict[str, Tensor]]:
        """Logits, next membranes and spike sums of each sample, in the order in which the layers run.

        Only the ANN twin needs no state.
        """
        step = Step(state or {})
        raw = self.network(frames, step)
        return raw, step.next_state, step.spikes


@dataclass(frozen=True, slots=True)
class SampledGraph:
    """A graph with a sample of its inputs, which tracing needs, and the names of its edges in order."""

    graph: StepGraph
    frames: Tensor
    state: State
    input_names: list[str]
    output_names: list[str]


@torch.inference_mode()
def sample_graph(detector: Detector) -> SampledGraph:
    """The graph of a detector, on the CPU and without batch norms."""
    graph = StepGraph(factored(detector.network).cpu()).eval()
    # a batch of one would be taken for a constant
    frames = detector.blank_frames(2)
    state = {name: membrane.cpu() for name, membrane in detector.init_state(2).items()}
    _, next_state, spikes = graph(frames, state)
    outputs = [*LEVELS, *(NEXT_STATE + name for name in next_state), *(SPIKES + name for name in spikes)]
    return SampledGraph(graph, frames, state, [FRAMES, *(STATE + name for name in state)], outputs)
