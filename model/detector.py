"""Detector: a network with its specification; runs one slice at a time with explicit state.

Shapes: B batch, P channels, H and W sensor pixels, h and w input pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spikewatch.model.array_detector import ArrayOutput, Floats, Levels
from spikewatch.model.detections import Detections
from spikewatch.model.errors import ConfigError, StateError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.digest import digest_tensors
from spikewatch.model.network.exact_step import CountingStep
from spikewatch.model.network.layer import Layer
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import StateBank, StateShapes, init_state
from spikewatch.model.network.step import State, StepContext
from spikewatch.model.postprocess import find_boxes
from spikewatch.model.runtime.build import build_runtime
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.ilif_cpu import MEMBRANE_TYPES
from spikewatch.model.spec import ModelSpec

DEFAULT_CONFIDENCE, DEFAULT_IOU = 0.25, 0.45
"""Thresholds of `detect` and the service, unless a request names others."""


@dataclass(frozen=True, slots=True)
class StepOutput:
    """Output of one slice.

    Attributes:
        logits: head logits of the batch.
        state: membranes after the slice.
        spikes: layer name -> sum of the integers at the input of its convolution, of each sample, int64 [B].
        accumulations: layer name -> additions caused by these spikes, of each sample, float64 [B]; empty
            unless the step ran with `exact=True`.
    """

    logits: HeadLogits
    state: State
    spikes: dict[str, Tensor]
    accumulations: dict[str, Tensor]

    def sample(self, i: int) -> tuple[HeadLogits, dict[str, int]]:
        """Return the logits (with a batch axis of one) and the spike sums of sample i."""
        p3, p4, p5 = (level[i : i + 1] for level in self.logits)
        if not self.spikes:
            return (p3, p4, p5), {}
        # one transfer for all layers: one for each layer would take longer than the step itself
        counts: list[int] = torch.stack(tuple(self.spikes.values()))[:, i].tolist()
        return (p3, p4, p5), dict(zip(self.spikes, counts, strict=True))


class Detector:
    """Runs slices on a network. Holds the weights only: the state is an argument and a result.

    Attributes:
        network: the network with its original weights.
        runtime: name of the runtime, see `spikewatch.model.runtime`.
        state_dtype: type of the membranes between slices: float32, or bfloat16 for half the memory.
    """

    def __init__(
        self,
        network: Network,
        spec: ModelSpec,
        device: torch.device | str = "cpu",
        runtime: str = "eager",
        state_dtype: torch.dtype = torch.float32,
        compile_options: CompileOptions | None = None,
    ) -> None:
        """Move the network to the device and prepare its runtime.

        Raises:
            ConfigError: the runtime does not support this network or this membrane type.
        """
        if state_dtype not in MEMBRANE_TYPES or (runtime == "eager" and state_dtype != torch.float32):
            supported = "float32" if runtime == "eager" else " and ".join(map(str, MEMBRANE_TYPES))
            raise ConfigError(
                f"state_dtype {state_dtype}: runtime {runtime} supports membranes of {supported} only"
            )
        self.network = network.eval().to(device)
        self.spec = spec
        self.device = torch.device(device)
        self.runtime = runtime
        self.state_dtype = state_dtype
        shapes = trace_shapes(network, spec.input_height, spec.input_width)
        self.layers: tuple[Layer, ...] = shapes.layers
        self.state_shapes: StateShapes = shapes.state_shapes
        self._networks = build_runtime(self.network, self.layers, runtime, state_dtype, compile_options)

    @property
    def weights_bytes(self) -> int:
        """Memory of the original weights and of the packed ones."""
        built: int = sum(t.numel() * t.element_size() for t in self.network.state_dict().values())
        return built + (0 if self._networks is None else self._networks.in_bank.nbytes)

    @property
    def state_bytes(self) -> int:
        """Memory of the membranes of one session."""
        values = sum(c * h * w for c, h, w in self.state_shapes.values())
        return int(self.state_dtype.itemsize * values)

    def release(self) -> None:
        """Free the memory of the weights, even if references to the detector remain.

        The detector cannot run afterwards.
        """
        self.network.to_empty(device="meta")
        if self._networks is not None:
            self._networks.release()
        self._networks = None

    def init_state(self, batch: int = 1) -> State:
        """Return the initial state: all membranes zero."""
        return init_state(self.state_shapes, batch, self.device)

    def create_bank(self, slots: int) -> StateBank:
        """Create a bank of zero membranes for `slots` sessions, in the runtime's memory format."""
        layout = torch.contiguous_format if self._networks is None else torch.channels_last
        return StateBank(self.state_shapes, slots, self.device, layout, self.state_dtype)

    def blank_frames(self, batch: int = 1) -> Tensor:
        """Return network input without events."""
        spec = self.spec
        return torch.zeros(batch, spec.config.in_channels, spec.input_height, spec.input_width)

    @torch.inference_mode()
    def step(self, frames: Tensor, state: State, exact: bool = False) -> StepOutput:
        """Run one slice of each sample. Offline inference is a loop over this function.

        Args:
            frames: float32 [B,P,h,w], from `preprocess`.
            state: membranes [B,C,H,W] of every layer; not modified.
            exact: also count accumulations, each spike with its true fan-out; runs eagerly.

        Raises:
            StateError: a membrane is missing or has another shape.
        """
        if self._networks is not None and not exact:
            updated = {
                name: h.to(self.state_dtype, copy=True, memory_format=torch.channels_last)
                for name, h in state.items()
            }
            network = self._networks.stateless
            logits, spikes = network.run(frames, network.step(updated, range(len(frames))))
            return StepOutput(logits, {name: h.float() for name, h in updated.items()}, spikes, {})
        step = CountingStep(state) if exact else StepContext(state)
        logits = self.network(frames.to(self.device), step)
        accumulations = step.accumulations if isinstance(step, CountingStep) else {}
        return StepOutput(logits, step.next_state, step.spikes, accumulations)

    @torch.inference_mode()
    def step_in_bank(self, frames: Tensor, bank: StateBank, slots: Sequence[int]) -> StepOutput:
        """Run one slice of each session and update its membranes in the bank.

        Args:
            frames: float32 [B,P,h,w], from `preprocess`.
            bank: from `create_bank`; if the step fails, partly written slots are in its `corrupted_slots`.
            slots: [B], distinct.

        Returns:
            The output, with an empty state.

        Raises:
            StateError: the bank does not fit the network, or a slot occurs twice.
        """
        if self._networks is None:
            out = self.step(frames, bank.gather(slots))
            bank.scatter(slots, out.state)
            return replace(out, state={})
        bank.check_slots(slots)
        if len(slots) != len(frames):
            raise StateError(f"{len(frames)} frames for {len(slots)} slots; expected one frame a slot")
        network = self._networks.in_bank
        step = network.step(bank.membranes, slots)
        try:
            logits, spikes = network.run(frames, step)
        except BaseException:
            bank.corrupted_slots.update(slots if step.touched else ())
            raise
        return StepOutput(logits, {}, spikes, {})

    def run_window(self, frames: Tensor, exact: bool = False) -> list[StepOutput]:
        """Run whole windows from the initial state, in the time order of the weights' training.

        Args:
            frames: float32 [T,B,P,h,w], oldest first.
            exact: as for `step`.

        Returns:
            The output of each slice, in the order of `frames`, with empty states.
        """
        order = range(len(frames))
        outputs: dict[int, StepOutput] = {}
        state = self.init_state(frames.shape[1])
        for t in order if self.spec.time_order == "oldest_first" else reversed(order):
            out = self.step(frames[t], state, exact)
            # keep only the newest state, because that of scale s at 640x640 takes 330 MB
            outputs[t], state = replace(out, state={}), out.state
        return [outputs[t] for t in order]

    @torch.inference_mode()
    def postprocess(
        self,
        logits: Sequence[HeadLogits],
        sensor_size: tuple[int, int],
        t_us: int,
        confidence: float = DEFAULT_CONFIDENCE,
        iou: float = DEFAULT_IOU,
    ) -> Detections:
        """Compute the detections of one session from the logits of its last slices.

        Args:
            logits: logits of each slice, with a batch axis of one.
            sensor_size: width and height in pixels.
            t_us: end of the window.
            confidence: boxes at or below this confidence are dropped.
            iou: of two boxes of a class that overlap more than this, the less confident is dropped.
        """
        levels = [_to_arrays(slice_) for slice_ in logits]
        return find_boxes(levels, self.spec, sensor_size, t_us, confidence, iou)

    def weights_digest(self) -> str:
        """Return the digest of the original weights."""
        return digest_tensors({k: t.detach().cpu().numpy() for k, t in self.network.state_dict().items()})

    def step_arrays(self, frames: Floats, bank: StateBank, slots: Sequence[int]) -> ArrayOutput:
        """Run `step_in_bank` on arrays."""
        return _array_output(self.step_in_bank(torch.from_numpy(frames), bank, slots))

    def run_window_arrays(self, frames: Floats) -> list[ArrayOutput]:
        """Run `run_window` on arrays."""
        return [_array_output(out) for out in self.run_window(torch.from_numpy(frames))]


def _to_arrays(logits: HeadLogits) -> Levels:
    p3, p4, p5 = (level.detach().cpu().numpy() for level in logits)
    return p3, p4, p5


def _array_output(out: StepOutput) -> ArrayOutput:
    """Return an output as arrays, with one transfer for the counts of all layers."""
    if not out.spikes:
        return ArrayOutput(_to_arrays(out.logits), {})
    counts = torch.stack(tuple(out.spikes.values())).cpu().numpy()
    return ArrayOutput(_to_arrays(out.logits), dict(zip(out.spikes, counts, strict=True)))
