"""Pictures of the dashboard, from answers that stand in for Prometheus."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scripts.dashboard_pictures import DASHBOARD, Prometheus, draw_row, panels_by_row
from tests.e2e.support.monitoring import panels


class Recorded(Prometheus):
    """Answers every query but those about power with two series, and keeps the queries."""

    def __init__(self) -> None:
        super().__init__("http://nowhere", 10)
        self.asked: list[str] = []

    def _get(self, route: str, **parameters: Any) -> list[dict[str, Any]]:
        self.asked.append(parameters["query"])
        if "host_energy" in parameters["query"]:
            return []
        values = [[60.0 * k, str(k)] for k in range(10)]
        answer = {"value": values[-1]} if route == "query" else {"values": values}
        return [{"metric": {"le": le, "layer": le, "instance": "a:1"}, **answer} for le in ("0.1", "+Inf")]


def test_rows_hold_every_panel_once() -> None:
    rows = dict(panels_by_row(json.loads(DASHBOARD.read_text())))
    assert [p["id"] for row in rows.values() for p in row] == [p["id"] for p in panels()]
    assert list(rows)[:3] == ["Is it healthy?", "Is it fast enough?", "What does it cost?"]


@pytest.mark.parametrize("number", range(3))
def test_a_row_is_drawn_and_names_panels_without_data(number: int, tmp_path: Path) -> None:
    prometheus, path = Recorded(), tmp_path / "row.png"
    title, row = list(panels_by_row(json.loads(DASHBOARD.read_text())))[number]
    empty = draw_row(title, row, prometheus, path)
    assert empty == (["Energy counters"] if number == 2 else [])
    assert not [query for query in prometheus.asked if "$" in query], "a variable of Grafana is left"
    with Image.open(path) as picture:
        assert picture.width > 1000
