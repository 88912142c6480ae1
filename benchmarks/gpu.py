"""Is `--runtime half` right on this GPU, and how fast is it? In about a minute.

    python -m benchmarks.gpu --out FILE.json [--seconds 50]

First the checks of `gpu_checks`, then one slice with the state carried: frames from the host's memory, logits
and counts back in it. The rows of a network take turns. A part that fails is told, and the rest goes on; the
exit status then is 1. Needs no more of the service than its tables.
"""

import argparse
import gc
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_checks import (
    Run,
    bank_run,
    check_graph_lifetime,
    check_non_finite,
    check_other_thread,
    check_single_step,
    compare_with_eager,
    network_run,
    require_identical,
    sparse_frames,
)
from spikewatch.model.checkpoints.checkpoint import load_detector, untrained_detector
from spikewatch.model.detector import Detector
from spikewatch.model.runtime.cuda_graphs import CudaGraphNetwork
from spikewatch.model.runtime.gpu import HalfPrecisionNetwork, select_fire_kernel
from spikewatch.model.runtime.ilif_gpu import FireKernel, fire_torch
from spikewatch.service.bench.measure import Quantiles, interleave
from spikewatch.service.bench.report import machine_info

SCALES = ("default", "n", "s")
BATCHES = {"eager": (1, 8, 32), "half, no graph": (1, 8, 32, 128), "half": (1, 8, 32, 128)}
OPTIONAL_BATCHES = {"half, neurons by torch": (1, 8, 32), "half, cudnn tuned": (1, 8, 32)}
"""Left out where time is short."""

COLUMNS = ("network", "runtime", "batch", "ms a step", "slices/s", "against eager", "peak memory, MB")
PROFILED = (("default", 1), ("s", 8))


@dataclass(slots=True)
class Findings:
    """The figures measured so far, and the deadline of the run."""

    deadline_s: float
    checks: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    profiles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def attempt(self, name: str, part: Callable[..., Any], *given: Any) -> Any:
        """Do a part; if it fails, say so and go on."""
        began = time.monotonic()
        try:
            found = part(*given)
        except Exception:
            self.failures.append(f"{name}: {traceback.format_exc()}")
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
            return None
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
        return found

    def check(self, name: str, part: Callable[..., Any], *given: Any) -> None:
        """Do a check and keep what it found."""
        found = self.attempt(name, part, *given)
        self.checks[name] = "FAILED" if found is None else found
        print(f"  {found}", flush=True)


def load_eager(network: str) -> Detector:
    """Eager, on the GPU: weights that come with the package, or untrained ones of a scale."""
    return load_detector(device="cuda") if network == "default" else untrained_detector(network, "cuda")


def half_detector(eager: Detector, state_dtype: torch.dtype = torch.float32) -> Detector:
    """The same weights by graphs."""
    return Detector(eager.network, eager.spec, "cuda", "half", state_dtype)


def half_network(eager: Detector, fire: FireKernel | None = None) -> HalfPrecisionNetwork:
    """The same weights by themselves."""
    return HalfPrecisionNetwork(eager.network, eager.layers, fire=fire or select_fire_kernel(eager.device))


def make_runs(eager: Detector) -> dict[str, tuple[Run, Detector]]:
    """Return by runtime: a step, and the detector whose bank it takes."""
    half = half_detector(eager)
    return {
        "eager": (bank_run(eager), eager),
        "half, no graph": (network_run(half_network(eager)), half),
        "half": (bank_run(half), half),
        "half, neurons by torch": (network_run(CudaGraphNetwork(half_network(eager, fire_torch))), half),
        "half, cudnn tuned": (network_run(CudaGraphNetwork(half_network(eager))), half),
    }


def run_checks(findings: Findings) -> None:
    """All checks, on dyadic weights and on the default ones."""
    for name, eager in (("dyadic", untrained_detector(device="cuda")), ("default", load_eager("default"))):
        half, plain = half_detector(eager), network_run(half_network(eager))
        graphed, by_torch = bank_run(half), network_run(half_network(eager, fire_torch))
        findings.check(f"{name}: graph = no graph", require_identical, graphed, plain, half)
        findings.check(f"{name}: kernel = torch", require_identical, plain, by_torch, half)
        findings.check(f"{name}: against eager", compare_with_eager, graphed, half, eager)
    brief = half_detector(eager, torch.bfloat16)
    findings.check("bfloat16: graph = no graph", require_identical, bank_run(brief), plain, brief)
    findings.check("bfloat16: kernel = torch", require_identical, plain, by_torch, brief)
    findings.check("bfloat16: against eager", compare_with_eager, bank_run(brief), brief, eager)
    findings.check("step = step in bank", check_single_step, graphed, half)
    findings.check("not finite", check_non_finite, graphed, half)
    findings.check("not finite, no graph", check_non_finite, plain, half)
    findings.check("not finite, torch", check_non_finite, by_torch, half)
    findings.check("another thread", check_other_thread, half)
    findings.check("graphs go with their bank", check_graph_lifetime, half)


def make_step(run: Run, detector: Detector, batch: int) -> Callable[[], object]:
    """A function that runs the next slice of `batch` endless streams, once warm."""
    bank, frames = detector.create_bank(batch), sparse_frames(detector, batch)
    slots = list(range(batch))[::-1]
    return lambda: run(frames, bank, slots)


def warm_up_rows(network: str, until_s: float, findings: Findings) -> dict[str, dict[str, Any]]:
    """By name: a row, what it runs, and the memory that its first steps took beyond what was there."""
    rows: dict[str, dict[str, Any]] = {}
    runs = make_runs(load_eager(network))
    for runtime, batches in (BATCHES | OPTIONAL_BATCHES).items():
        run, detector = runs[runtime]
        for batch in batches:
            if runtime in OPTIONAL_BATCHES and time.monotonic() > until_s:
                continue
            name = f"{network} {runtime} {batch}"
            torch.backends.cudnn.benchmark = "tuned" in runtime
            row = findings.attempt(f"warm up {name}", warm_up_row, run, detector, batch)
            torch.backends.cudnn.benchmark = False
            if row is not None:
                rows[name] = {"network": network, "runtime": runtime, "batch": batch} | row
    return rows


def warm_up_row(run: Run, detector: Detector, batch: int) -> dict[str, Any]:
    """First steps, and the most memory that they held."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    began, go = time.monotonic(), make_step(run, detector, batch)
    go()
    first_s = time.monotonic() - began
    go()
    peak_mb = (torch.cuda.max_memory_reserved() - before) / 1e6
    return {"run": go, "first_step_s": first_s, "peak_mb": peak_mb}


def time_rows(rows: dict[str, dict[str, Any]], until_s: float, findings: Findings) -> None:
    """Turns until time is up, at least two; keeps what was measured."""
    timed = {name: row.pop("run") for name, row in rows.items()}
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    turns = 0
    while turns < 2 or time.monotonic() < until_s:
        for name, found in interleave(timed, 1, repeats=3, warm_up=1).items():
            seconds[name] += found
        turns += 1
    for name, row in rows.items():
        median = Quantiles.from_values(seconds[name]).median
        eager = seconds.get(f"{row['network']} eager {row['batch']}")
        row["ms"] = [each * 1e3 for each in seconds[name]]
        row["slices_per_s"] = row["batch"] / median
        row["against_eager"] = Quantiles.from_values(eager).median / median if eager else None
        findings.rows.append(row)


def profile(network: str, batch: int) -> list[dict[str, Any]]:
    """The kernels of a step in half precision that take longest, in microseconds a step."""
    run, detector = make_runs(load_eager(network))["half, no graph"]
    go, steps = make_step(run, detector, batch), 3
    go()
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as traced:
        for _ in range(steps):
            go()
        torch.cuda.synchronize()
    events = sorted(traced.key_averages(), key=lambda event: event.self_device_time_total, reverse=True)
    kernels = [
        {"kernel": e.key[:100], "us": e.self_device_time_total / steps, "calls": e.count / steps}
        for e in events
        if e.self_device_time_total > 0
    ]
    print(f"{network}, batch {batch}: {sum(k['us'] for k in kernels):.0f} us of kernels a step")
    for each in kernels[:16]:
        print(f"  {each['us']:9.1f} us  {each['calls']:5.0f}  {each['kernel']}")
    return kernels[:40]


def gpu_info() -> dict[str, Any]:
    """Return the GPU and its driver."""
    gpu = torch.cuda.get_device_properties(0)
    return {
        "gpu": gpu.name,
        "gpu_memory_mb": gpu.total_memory / 1e6,
        "neurons": select_fire_kernel(torch.device("cuda")).__name__,  # type: ignore[attr-defined]
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "eager_convolutions_in_tf32": torch.backends.cudnn.allow_tf32,
    }


def results_table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * (len(COLUMNS) - 2)]
    for row in rows:
        ratio = row["against_eager"]
        cells = (
            row["network"],
            row["runtime"],
            str(row["batch"]),
            Quantiles.from_values(row["ms"]).text(2),
            f"{row['slices_per_s']:.0f}",
            "-" if ratio is None else f"{ratio:.2f}",
            f"{row['peak_mb']:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_findings(path: Path, findings: Findings, about: Any) -> None:
    """All that was found so far."""
    found = {
        "machine": about,
        "checks": findings.checks,
        "rows": findings.rows,
        "profiles": findings.profiles,
        "failures": findings.failures,
    }
    path.write_text(json.dumps(found, indent=1) + "\n")


def main() -> int:
    """Check, measure, print and write; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=50.0, help="about how long to go on")
    given = parser.parse_args()
    began = time.monotonic()
    findings = Findings(began + given.seconds)
    about = (findings.attempt("machine", machine_info) or {}) | (findings.attempt("GPU", gpu_info) or {})
    print(json.dumps(about), flush=True)
    findings.attempt("checks", run_checks, findings)
    write_findings(given.out, findings, about)
    for index, network in enumerate(SCALES):
        gc.collect()
        # a share of the time that is left to the networks that are left, half of it to warm up
        now_s = time.monotonic()
        share_s = (findings.deadline_s - now_s) / (len(SCALES) - index)
        half_time_s = now_s + share_s / 2
        rows = findings.attempt(f"warm up {network}", warm_up_rows, network, half_time_s, findings) or {}
        findings.attempt(f"time {network}", time_rows, rows, now_s + share_s, findings)
        write_findings(given.out, findings, about)
    for network, batch in PROFILED:
        name = f"profile {network} {batch}"
        findings.profiles[name] = findings.attempt(name, profile, network, batch) or []
    write_findings(given.out, findings, about)
    print(f"\n{results_table(findings.rows)}\n")
    print(f"{time.monotonic() - began:.0f} s; {len(findings.failures)} parts failed")
    for failure in findings.failures:
        print(failure)
    return 1 if findings.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
