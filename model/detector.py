"""The detector: a network, what must be known to use it, and one step of a slice.

Shapes: B batch, P channels, H and W sensor pixels, h and w input pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spikewatch.model.decode import average_logits, decode
from spikewatch.model.detections import Detections
from spikewatch.model.errors import ConfigError, StateError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.exact_step import CountingStep
from spikewatch.model.network.shapes import Layer, trace_shapes
from spikewatch.model.network.state import StateBank, StateShapes, init_state
from spikewatch.model.network.step import State, StepContext
from spikewatch.model.nms import nms
from spikewatch.model.runtime.build import build_runtime
from spikewatch.model.runtime.ilif_cpu import MEMBRANE_TYPES
from spikewatch.model.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one slice gives.

    Attributes:
        logits: head logits of the batch.
        state: membranes after the slice.
        spikes: layer name -> sum of the integers that fed its convolution in each sample, int64 [B].
        accumulations: layer name -> additions they caused in each sample, float64 [B]; only where asked for.
    """

    logits: HeadLogits
    state: State
    spikes: dict[str, Tensor]
    accumulations: dict[str, Tensor]

    def sample(self, i: int) -> tuple[HeadLogits, dict[str, int]]:
        """Logits (still with a batch axis of one) and spike sums of sample i."""
        p3, p4, p5 = (level[i : i + 1] for level in self.logits)
        if not self.spikes:
            return (p3, p4, p5), {}
        # all layers together: one by one they would take longer than the step itself
        counts: list[int] = torch.stack(tuple(self.spikes.values()))[:, i].tolist()
        return (p3, p4, p5), dict(zip(self.spikes, counts, strict=True))


class Detector:
    """Runs slices. Holds weights only: the state goes in and comes out.

    Attributes:
        network: the weights, as they were built.
        runtime: the arithmetic, see `model.runtime`.
        state_dtype: type that membranes are kept in between slices: float32, or bfloat16 for half the memory.
    """

    def __init__(
        self,
        network: Network,
        spec: ModelSpec,
        device: torch.device | str = "cpu",
        runtime: str = "eager",
        state_dtype: torch.dtype = torch.float32,
    ) -> None:
        """Make ready to run.

        Raises:
            ConfigError: the runtime does not know this network, or not this type of membranes.
        """
        if state_dtype not in MEMBRANE_TYPES or (runtime == "eager" and state_dtype != torch.float32):
            raise ConfigError(f"runtime {runtime} keeps no membranes of {state_dtype}")
        self.network = network.eval().to(device)
        self.spec = spec
        self.device = torch.device(device)
        self.runtime = runtime
        self.state_dtype = state_dtype
        geometry = trace_shapes(network, spec.input_height, spec.input_width)
        self.layers: tuple[Layer, ...] = geometry.layers
        self.state_shapes: StateShapes = geometry.state_shapes
        self._networks = build_runtime(self.network, self.layers, runtime, state_dtype)

    @property
    def weights_bytes(self) -> int:
        """Memory of the weights, as they were built and as they are packed."""
        built: int = sum(t.numel() * t.element_size() for t in self.network.state_dict().values())
        return built + (0 if self._networks is None else self._networks.in_bank.nbytes)

    @property
    def state_bytes(self) -> int:
        """Memory of the membranes of one session."""
        values = sum(c * h * w for c, h, w in self.state_shapes.values())
        return int(self.state_dtype.itemsize * values)

    def release(self) -> None:
        """Give the memory of the weights back, whoever may still hold the detector; it never runs again."""
        self.network.to_empty(device="meta")
        self._networks = None

    def init_state(self, batch: int = 1) -> State:
        """Membranes at rest."""
        return init_state(self.state_shapes, batch, self.device)

    def create_bank(self, slots: int) -> StateBank:
        """Membranes at rest of `slots` sessions, laid out as the runtime wants them."""
        layout = torch.contiguous_format if self._networks is None else torch.channels_last
        return StateBank(self.state_shapes, slots, self.device, layout, self.state_dtype)

    def blank_frames(self, batch: int = 1) -> Tensor:
        """Input without any event."""
        spec = self.spec
        return torch.zeros(batch, spec.config.in_channels, spec.input_height, spec.input_width)

    @torch.inference_mode()
    def step(self, frames: Tensor, state: State, exact: bool = False) -> StepOutput:
        """Run one slice of each sample; offline inference is a loop over this.

        Args:
            frames: float32 [B,P,h,w], from `preprocess`.
            state: membranes [B,C,H,W] of every layer; left untouched.
            exact: count accumulations too, each spike with its true fan-out; this is done eagerly.

        Raises:
            StateError: a membrane is missing or has another shape.
        """
        if self._networks is not None and not exact:
            own = {
                name: h.to(self.state_dtype, copy=True, memory_format=torch.channels_last)
                for name, h in state.items()
            }
            network = self._networks.stateless
            raw, spikes = network.run(frames, network.step(own, range(len(frames))))
            return StepOutput(raw, {name: h.float() for name, h in own.items()}, spikes, {})
        step = CountingStep(state) if exact else StepContext(state)
        raw = self.network(frames.to(self.device), step)
        counted = step.accumulations if isinstance(step, CountingStep) else {}
        return StepOutput(raw, step.next_state, step.spikes, counted)

    @torch.inference_mode()
    def step_in_bank(self, frames: Tensor, bank: StateBank, slots: Sequence[int]) -> StepOutput:
        """Run one slice of each session; their membranes in the bank become the new ones.

        Args:
            frames: float32 [B,P,h,w], from `preprocess`.
            bank: from `create_bank`; its `torn` names those of `slots` that a failure left half written.
            slots: [B], distinct.

        Returns:
            The outputs, without a state.

        Raises:
            StateError: the bank does not fit, or a slot is named twice.
        """
        if self._networks is None:
            out = self.step(frames, bank.gather(slots))
            bank.scatter(slots, out.state)
            return replace(out, state={})
        bank.check_slots(slots)
        if len(slots) != len(frames):
            raise StateError(f"{len(frames)} frames for {len(slots)} slots")
        network = self._networks.in_bank
        step = network.step(bank.membranes, slots)
        try:
            raw, spikes = network.run(frames, step)
        except BaseException:
            bank.corrupted_slots.update(slots if step.touched else ())
            raise
        return StepOutput(raw, {}, spikes, {})

    def run_window(self, frames: Tensor, exact: bool = False) -> list[StepOutput]:
        """Run whole windows from rest, in the order of time that the weights were trained in.

        Args:
            frames: float32 [T,B,P,h,w], oldest first.
            exact: as for `step`.

        Returns:
            The outputs of each slice, in the order of `frames`, without their states.
        """
        order = range(len(frames))
        outputs: dict[int, StepOutput] = {}
        state = self.init_state(frames.shape[1])
        for t in order if self.spec.time_order == "oldest_first" else reversed(order):
            out = self.step(frames[t], state, exact)
            # only one state is held at a time: that of scale s at 640x640 has 330 MB
            outputs[t], state = replace(out, state={}), out.state
        return [outputs[t] for t in order]

    @torch.inference_mode()
    def postprocess(
        self,
        logits: Sequence[HeadLogits],
        sensor_size: tuple[int, int],
        t_us: int,
        confidence: float = 0.25,
        iou: float = 0.45,
    ) -> Detections:
        """Boxes of one session, from the logits of its last slices.

        Args:
            logits: one entry for each slice, each with a batch axis of one.
            sensor_size: width and height in pixels.
            t_us: end of the window.
            confidence: boxes at or below it are left out.
            iou: overlap above which the weaker of two boxes of a class is dropped.
        """
        width, height = sensor_size
        corners, scores = decode(average_logits(logits), self.network.config.head)
        anchor, class_id = nms(corners[0].T.cpu().numpy(), scores[0].T.cpu().numpy(), confidence, iou)
        box = Letterbox.fit(width, height, self.spec)
        kept = torch.from_numpy(anchor)
        xywh = box.boxes_to_sensor(corners[0].T.cpu()[kept], width, height)
        return Detections(xywh, scores[0].T.cpu().numpy()[anchor, class_id], class_id, t_us)
