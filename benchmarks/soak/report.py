"""The run as Markdown, JSON and a plot."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.soak.growth import FLAT_MB_PER_H, MB, Growth
from benchmarks.soak.run import Outcome
from benchmarks.soak.samples import Books
from spikewatch.model.atomic_file import whole_file
from spikewatch.service.bench.report import Report, machine_line

CURVE_POINTS = 400


def write(outcome: Outcome, folder: Path) -> None:
    """Write soak.md, soak.json and soak.png."""
    folder.mkdir(parents=True, exist_ok=True)
    Report("", (), (), figures(outcome)).write(folder / "soak.json")
    with whole_file(folder / "soak.md") as partial:
        partial.write_text(markdown(outcome))
    draw(outcome, folder / "soak.png")


def figures(outcome: Outcome) -> dict[str, Any]:
    """All of it as plain values."""
    tally = outcome.tally
    step = max(len(outcome.samples) // CURVE_POINTS, 1)
    return {
        "model": outcome.model,
        "minutes": round(outcome.minutes, 2),
        "seed": outcome.plan.seed,
        "clients_at_once": outcome.plan.at_once,
        "settings": outcome.plan.settings(),
        "warm_s": outcome.plan.warm_s,
        "passed": not tally.failures,
        "failures": tally.failures,
        "counts": _sorted(tally.counts),
        "clients": _sorted(tally.roles),
        "errors": _sorted(tally.errors),
        "lives": [asdict(life) for life in outcome.lives.all],
        "growth": [asdict(growth) | {"verdict": growth.verdict} for growth in outcome.growths],
        "rests": [asdict(rest) for rest in outcome.rests],
        "books": [asdict(books) for books in outcome.books],
        "samples": [asdict(sample) for sample in outcome.samples[::step]],
    }


def markdown(outcome: Outcome) -> str:
    """For people."""
    tally, plan = outcome.tally, outcome.plan
    lines = [
        f"A soak of {outcome.minutes:.1f} minutes: {outcome.model}, {plan.at_once} clients at once, "
        f"seed {plan.seed}. **{'Failed' if tally.failures else 'Passed'}.**",
        "",
        machine_line(),
        "",
    ]
    lines += [f"- {failure}" for failure in tally.failures]
    lines += ["## What happened", "", *_table(("", "number"), _sorted(tally.counts).items()), ""]
    lines += ["## Memory", "", "![memory of the service](soak.png)", "", *_memory(outcome), ""]
    lines += [
        f"Memory is what is resident without pages of files. Every {plan.play_s:g} s the clients "
        f"come to an end, nobody comes for {plan.rest_s:g} s, and then it is measured: at rest. The slope is "
        f"that of a line through these, from {plan.warm_s / 60:g} minutes after the begin of a life on, with "
        f"its 95 % confidence interval. Flat: the interval lies below {FLAT_MB_PER_H:g} MB/h. Grows: it lies "
        "above, which fails.",
        "",
        *_most(outcome),
        "",
    ]
    lines += ["## Lives of the service", "", *_lives(outcome), ""]
    lines += [
        "## The service's own counts of slices and snapshots, when nothing was under way",
        "",
        *_books(outcome),
        "",
    ]
    lines += ["## Clients", "", *_table(("role", "clients"), _sorted(tally.roles).items()), ""]
    lines += ["## Errors that clients saw, most of them provoked", ""]
    return "\n".join([*lines, *_table(("kind", "number"), _sorted(tally.errors).items()), ""])


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return {name: count for name, count in sorted(counter.items()) if count}


def _table(columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def _memory(outcome: Outcome) -> list[str]:
    rows = [(*_slope(growth), _most_mb(outcome, growth.life)) for growth in outcome.growths]
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
    return _table(heads, rows)


def _slope(growth: Growth) -> tuple[object, ...]:
    numbers = ("", "", "")
    if growth.mb_per_h is not None:
        numbers = (
            f"{growth.mb_per_h:+.1f}",
            f"{growth.low:+.1f} to {growth.high:+.1f}",
            f"{growth.first_mb:.0f}, {growth.last_mb:.0f}",
        )
    return growth.life, growth.verdict, growth.rests, f"{growth.minutes:.1f}", *numbers


def _most_mb(outcome: Outcome, life: int) -> str:
    mine = [sample.memory / MB for sample in outcome.samples if sample.life == life]
    return f"{max(mine):.0f}" if mine else ""


def _most(outcome: Outcome) -> list[str]:
    names = ("descriptors", "threads", "sessions", "queued_slices", "jobs")
    rows = [
        (
            name.replace("_", " "),
            *(f(getattr(sample, name) for sample in outcome.samples) for f in (min, max)),
        )
        for name in names
        if outcome.samples
    ]
    return _table(("sampled", "least", "most"), rows)


def _lives(outcome: Outcome) -> list[str]:
    rows = [
        (life.number, f"{life.ready_s:.0f}", f"{life.ended_s or 0:.0f}", life.how)
        for life in outcome.lives.all
    ]
    return _table(("life", "ready, s", "ended, s", "by"), rows)


def _books(outcome: Outcome) -> list[str]:
    names = [field.name for field in fields(Books)]
    heads = tuple(name.replace("_", " ") for name in names)
    return _table(heads, [tuple(getattr(books, name) for name in names) for books in outcome.books])


def draw(outcome: Outcome, path: Path) -> None:
    """Memory over time, with the lives of the service and the lines fitted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3), dpi=100, layout="constrained")
    for life in outcome.lives.all:
        mine = [sample for sample in outcome.samples if sample.life == life.number]
        minutes = [sample.t_s / 60 for sample in mine]
        axes.plot(minutes, [sample.memory / MB for sample in mine], label=f"life {life.number}")
        if life.ended_s is not None:
            axes.axvline(life.ended_s / 60, color="grey", linestyle=":")
            axes.annotate(life.how, (life.ended_s / 60, 0.02), xycoords=("data", "axes fraction"), ha="right")
    at_rest = [(rest.t_s / 60, rest.memory / MB) for rest in outcome.rests]
    axes.plot(*zip(*at_rest, strict=True), "k.", label="at rest")
    axes.set(xlabel="minutes", ylabel="memory of the service, MB", ylim=(0, None))
    axes.legend(loc="lower left")
    figure.savefig(path)
    pyplot.close(figure)
