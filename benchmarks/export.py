"""One slice with the state carried, in PyTorch and in the engines that run exported files.

    python -m benchmarks.export [--scale t] [--batch 1] [--threads 2]

Engines take turns of ten slices, so that a busy moment of the machine meets them all. The first three of a
turn are not counted: the idle threads of the engine before still spin. Ratios are to PyTorch, in one run.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from model.checkpoint import untrained_detector
from model.detector import Detector
from model.export.engines import Engine, carried, onnx_runtime, openvino_runtime, rest_inputs
from model.export.onnx_file import write_onnx
from model.export.openvino_file import convert_to_openvino
from model.factored import factored

WARM_UP, SLICES = 3, 10


def torch_step(detector: Detector, frames: torch.Tensor) -> Callable[[], None]:
    """A function that runs the next slice of an endless stream."""
    state = detector.init_state(len(frames))

    def step() -> None:
        nonlocal state
        state = detector.step(frames, state).state

    return step


def engine_step(engine: Engine, detector: Detector, frames: torch.Tensor) -> Callable[[], None]:
    """As `torch_step`, in an engine; arrays cross its edge, as they would for a user."""
    inputs = rest_inputs(detector, len(frames))

    def step() -> None:
        nonlocal inputs
        inputs = carried(engine(inputs | {"frames": frames.numpy()}))

    return step


def steps_of(detector: Detector, batch: int, threads: int) -> dict[str, Callable[[], None]]:
    """Every way to run the detector, by name."""
    frames = detector.blank_frames(batch)
    frames[torch.rand(frames.shape, generator=torch.Generator().manual_seed(0)) < 0.06] = 0.25
    plain = Detector(factored(detector.network), detector.spec)
    with TemporaryDirectory() as folder:
        onnx, xml = Path(folder) / "model.onnx", Path(folder) / "model.xml"
        write_onnx(detector, onnx)
        convert_to_openvino(onnx, detector.spec, xml)
        engines = {
            f"ONNX Runtime {version('onnxruntime')}": onnx_runtime(onnx, threads),
            f"OpenVINO {version('openvino')}": openvino_runtime(xml, threads),
        }
    pytorch = {"eager": torch_step(detector, frames), "eager, factored": torch_step(plain, frames)}
    return {f"PyTorch {torch.__version__}, {name}": step for name, step in pytorch.items()} | {
        name: engine_step(engine, detector, frames) for name, engine in engines.items()
    }


def turn(step: Callable[[], None]) -> list[float]:
    """Milliseconds of each of SLICES slices, after WARM_UP others."""
    times = []
    for _ in range(WARM_UP + SLICES):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times[WARM_UP:]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", default="t")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=4)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    steps = steps_of(untrained_detector(given.scale), given.batch, given.threads)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(given.turns):
        for name, step in steps.items():
            times[name] += turn(step)
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {given.threads} threads, scale {given.scale}, batch {given.batch}, 256x320, ", end="")
    print(f"median (spread) of {given.turns * SLICES}\n")
    print("| engine | ms a slice | against the first |\n|---|---|---|")
    first = statistics.median(next(iter(times.values())))
    for name, taken in times.items():
        median = statistics.median(taken)
        cost = f"{median:.0f} ({min(taken):.0f}-{max(taken):.0f})"
        print(f"| {name} | {cost} | {first / median:.2f} |")


if __name__ == "__main__":
    main()
