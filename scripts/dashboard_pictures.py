"""Draw the panels of the dashboard from a running Prometheus: one PNG for each row.

    python -m scripts.dashboard_pictures http://127.0.0.1:9090 --minutes 10 --out out/dashboard

Grafana is not needed. The pictures show which panels have data, and whether units and legends can be read.
"""

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewatch.service.plotting import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DASHBOARD = Path(__file__).parents[1] / "docker/grafana/dashboards/spikewatch.json"
POINTS = 240
COLUMNS = 3
LEGEND = 10
VARIABLES = {"$job": ".*", "$instance": ".*", "$model": ".*", "${datasource}": ""}

Series = dict[str, Any]


class Prometheus:
    """Queries of one server over a span of time."""

    def __init__(self, url: str, minutes: float) -> None:
        self._url, self._end = url.rstrip("/"), time.time()
        self._span_s = 60 * minutes
        self._step_s = max(5.0, self._span_s / POINTS)

    def query(self, expression: str, instant: bool) -> list[Series]:
        """Return series with `metric` and `values`, pairs of seconds and value.

        Raises:
            urllib.error.HTTPError: Prometheus rejects the query.
        """
        filled = self._filled(expression)
        if instant:
            found = self._get("query", query=filled, time=self._end)
            return [entry | {"values": [entry["value"]]} for entry in found]
        start = self._end - self._span_s
        return self._get("query_range", query=filled, start=start, end=self._end, step=self._step_s)

    def _filled(self, expression: str) -> str:
        interval = f"{max(20, 4 * self._step_s):.0f}s"
        times = {"$__rate_interval": interval, "$__range": f"{self._span_s:.0f}s", "$__interval": interval}
        for name, value in (VARIABLES | times).items():
            expression = expression.replace(name, value)
        return expression

    def _get(self, route: str, **parameters: Any) -> list[Series]:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._url}/api/v1/{route}?{query}", timeout=30) as response:
            answer = json.load(response)
        found: list[Series] = answer["data"]["result"]
        return found


def panels_by_row(dashboard: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the title of each row and its panels, folded rows included."""
    title, panels = "", []
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            panels.append(panel)
            continue
        if panels:
            yield title, panels
        title, panels = panel["title"], list(panel.get("panels", []))
    if panels:
        yield title, panels


def draw_row(title: str, panels: list[dict[str, Any]], prometheus: Prometheus, path: Path) -> list[str]:
    """Write one PNG; returns the titles of panels without data."""
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(6.2 * COLUMNS, 3.4 * rows)
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    empty = []
    for axis, panel in zip(axes, panels, strict=False):
        if not _draw_panel(axis, panel, prometheus):
            empty.append(panel["title"])
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.suptitle(title)
    figure.savefig(path, format="png", dpi=80)
    return empty


def _draw_panel(axis: "Axes", panel: dict[str, Any], prometheus: Prometheus) -> bool:
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    axis.set_title(f"{panel['title']} [{unit}]" if unit else panel["title"], fontsize=10)
    lines: list[tuple[str, list[Any]]] = []
    for target in panel["targets"]:
        series = prometheus.query(target["expr"], bool(target.get("instant")))
        lines += [(_legend(target, entry["metric"]), entry["values"]) for entry in series]
    if not lines:
        axis.text(0.5, 0.5, "no data", ha="center", va="center", color="#b03030")
        axis.set_axis_off()
    elif panel["type"] in ("stat", "table"):
        axis.text(
            0.02,
            0.95,
            "\n".join(f"{name}: {values[-1][1]}"[:110] for name, values in lines),
            va="top",
            wrap=True,
        )
        axis.set_axis_off()
    elif panel["type"] == "bargauge":
        axis.barh([name for name, _ in lines], [float(values[-1][1]) for _, values in lines])
    elif panel["type"] == "heatmap":
        _draw_heatmap(axis, lines)
    else:
        _draw_lines(axis, lines)
    return bool(lines)


def _draw_lines(axis: "Axes", lines: list[tuple[str, list[Any]]]) -> None:
    end = max(values[-1][0] for _, values in lines)
    for name, values in lines:
        minutes = [(when - end) / 60 for when, _ in values]
        axis.plot(minutes, [float(value) for _, value in values], label=name[:40], linewidth=1.2)
    low, high = axis.get_ylim()
    axis.set_ylim(min(0, low), 1.1 * high)
    axis.grid(alpha=0.3)
    axis.legend(*(part[:LEGEND] for part in axis.get_legend_handles_labels()), fontsize=7, loc="upper left")
    if len(lines) > LEGEND:
        axis.text(0.98, 0.95, f"{len(lines)} lines", transform=axis.transAxes, ha="right", va="top")


def _draw_heatmap(axis: "Axes", lines: list[tuple[str, list[Any]]]) -> None:
    times = sorted({when for _, values in lines for when, _ in values})
    cells = [[dict(values).get(when, "nan") for when in times] for _, values in lines]
    axis.imshow([[float(cell) for cell in row] for row in cells], aspect="auto", interpolation="nearest")
    step = max(1, len(lines) // 8)
    axis.set_yticks(range(0, len(lines), step), [name[:24] for name, _ in lines][::step], fontsize=6)


def _legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    text = target.get("legendFormat") or ""
    if target.get("format") == "table" or not text:
        return ", ".join(f"{name}={value}" for name, value in labels.items() if name != "__name__")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), text)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path("out/dashboard"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    prometheus = Prometheus(given.url, given.minutes)
    for number, (title, panels) in enumerate(panels_by_row(json.loads(DASHBOARD.read_text()))):
        path = given.out / f"{number}.png"
        empty = draw_row(title, panels, prometheus, path)
        print(f"{path}: {title}; without data: {', '.join(empty) or 'none'}")


if __name__ == "__main__":
    main()
