"""The run as Markdown, JSON and a plot."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.soak.memory_growth import FLAT_LIMIT_MB_PER_H, MB, Growth
from benchmarks.soak.run import SoakResult
from benchmarks.soak.samples import Ledger
from spikewatch.atomic_file import atomic_write
from spikewatch.service.bench.report import BenchReport, machine_summary

CURVE_POINTS = 400


def write_report(result: SoakResult, folder: Path) -> None:
    """Write soak.md, soak.json and soak.png."""
    folder.mkdir(parents=True, exist_ok=True)
    BenchReport("", (), (), figures(result)).write(folder / "soak.json")
    with atomic_write(folder / "soak.md") as partial:
        partial.write_text(to_markdown(result))
    draw_memory(result, folder / "soak.png")


def figures(result: SoakResult) -> dict[str, Any]:
    """All of it as plain values."""
    tally = result.counters
    step = max(len(result.samples) // CURVE_POINTS, 1)
    return {
        "model": result.model,
        "minutes": round(result.minutes, 2),
        "seed": result.options.seed,
        "clients_at_once": result.options.concurrency,
        "settings": result.options.service_environment(),
        "warm_s": result.options.warm_s,
        "passed": not tally.failures,
        "failures": tally.failures,
        "counts": _sorted(tally.counts),
        "clients": _sorted(tally.scenarios),
        "errors": _sorted(tally.errors),
        "lives": [asdict(life) for life in result.service.runs],
        "growth": [asdict(growth) | {"verdict": growth.verdict} for growth in result.growths],
        "rests": [asdict(rest) for rest in result.rests],
        "books": [asdict(books) for books in result.ledgers],
        "samples": [asdict(sample) for sample in result.samples[::step]],
    }


def to_markdown(result: SoakResult) -> str:
    """For people."""
    tally, plan = result.counters, result.options
    lines = [
        f"A soak of {result.minutes:.1f} minutes: {result.model}, {plan.concurrency} clients at once, "
        f"seed {plan.seed}. **{'Failed' if tally.failures else 'Passed'}.**",
        "",
        machine_summary(),
        "",
    ]
    lines += [f"- {failure}" for failure in tally.failures]
    lines += ["## What happened", "", *_markdown_table(("", "number"), _sorted(tally.counts).items()), ""]
    lines += ["## Memory", "", "![memory of the service](soak.png)", "", *_memory_table(result), ""]
    lines += [
        f"Memory is what is resident without pages of files. Every {plan.play_s:g} s the clients "
        f"come to an end, nobody comes for {plan.rest_s:g} s, and then it is measured: at rest. The slope is "
        f"that of a line through these, from {plan.warm_s / 60:g} minutes after the begin of a life on, with "
        f"its 95 % confidence interval. Flat: the interval lies below {FLAT_LIMIT_MB_PER_H:g} MB/h. "
        "Grows: it lies "
        "above, which fails.",
        "",
        *_extremes_table(result),
        "",
    ]
    lines += ["## Lives of the service", "", *_lives_table(result), ""]
    lines += [
        "## The service's own counts of slices and snapshots, when nothing was under way",
        "",
        *_ledger_table(result),
        "",
    ]
    lines += ["## Clients", "", *_markdown_table(("role", "clients"), _sorted(tally.scenarios).items()), ""]
    lines += ["## Errors that clients saw, most of them provoked", ""]
    return "\n".join([*lines, *_markdown_table(("kind", "number"), _sorted(tally.errors).items()), ""])


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counter.items()) if count}


def _markdown_table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def _memory_table(result: SoakResult) -> list[str]:
    rows = [(*_growth_cells(growth), _peak_mb(result, growth.life)) for growth in result.growths]
    heads = (
        "life",
        "memory",
        "rests fitted",
        "minutes",
        "MB an hour",
        "95 % interval",
        "begin, end of the line, MB",
        "most, under load, MB",
    )
    return _markdown_table(heads, rows)


def _growth_cells(growth: Growth) -> tuple[object, ...]:
    numbers = ("", "", "")
    if growth.mb_per_h is not None:
        numbers = (
            f"{growth.mb_per_h:+.1f}",
            f"{growth.low:+.1f} to {growth.high:+.1f}",
            f"{growth.first_mb:.0f}, {growth.last_mb:.0f}",
        )
    return growth.life, growth.verdict, growth.rests, f"{growth.minutes:.1f}", *numbers


def _peak_mb(result: SoakResult, life: int) -> str:
    mine = [sample.memory / MB for sample in result.samples if sample.life == life]
    return f"{max(mine):.0f}" if mine else ""


def _extremes_table(result: SoakResult) -> list[str]:
    names = ("descriptors", "threads", "sessions", "queued_slices", "jobs")
    rows = [
        (
            name.replace("_", " "),
            *(f(getattr(sample, name) for sample in result.samples) for f in (min, max)),
        )
        for name in names
        if result.samples
    ]
    return _markdown_table(("sampled", "least", "most"), rows)


def _lives_table(result: SoakResult) -> list[str]:
    rows = [
        (life.number, f"{life.ready_s:.0f}", f"{life.ended_s or 0:.0f}", life.how)
        for life in result.service.runs
    ]
    return _markdown_table(("life", "ready, s", "ended, s", "by"), rows)


def _ledger_table(result: SoakResult) -> list[str]:
    names = [field.name for field in fields(Ledger)]
    heads = tuple(name.replace("_", " ") for name in names)
    return _markdown_table(heads, [tuple(getattr(books, name) for name in names) for books in result.ledgers])


def draw_memory(result: SoakResult, path: Path) -> None:
    """Memory over time, with the lives of the service and the lines fitted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3), dpi=100, layout="constrained")
    for life in result.service.runs:
        mine = [sample for sample in result.samples if sample.life == life.number]
        minutes = [sample.t_s / 60 for sample in mine]
        axes.plot(minutes, [sample.memory / MB for sample in mine], label=f"life {life.number}")
        if life.ended_s is not None:
            axes.axvline(life.ended_s / 60, color="grey", linestyle=":")
            axes.annotate(life.how, (life.ended_s / 60, 0.02), xycoords=("data", "axes fraction"), ha="right")
    at_rest = [(rest.t_s / 60, rest.memory / MB) for rest in result.rests]
    axes.plot(*zip(*at_rest, strict=True), "k.", label="at rest")
    axes.set(xlabel="minutes", ylabel="memory of the service, MB", ylim=(0, None))
    axes.legend(loc="lower left")
    figure.savefig(path)
    pyplot.close(figure)
