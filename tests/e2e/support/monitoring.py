"""The rules and the dashboard of docker/, as data."""

import json
from typing import Any

from tests.e2e.support.deploy import ROOT, load

PROMETHEUS = ROOT / "docker" / "prometheus"

GRAFANA = ROOT / "docker" / "grafana"


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "spikewatch.json").read_text())
    return found


def rows() -> list[dict[str, Any]]:
    """The headings of rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] == "row"]


def panels() -> list[dict[str, Any]]:
    """All panels but the headings of rows; those of folded rows lie within their row."""
    everything = [inner for panel in dashboard()["panels"] for inner in (panel, *panel.get("panels", []))]
    return [panel for panel in everything if panel["type"] != "row"]


def expressions() -> list[tuple[str, str, str]]:
    """Panel, legend and PromQL of every query on the dashboard."""
    return [(p["title"], t["legendFormat"], t["expr"]) for p in panels() for t in p["targets"]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in load(PROMETHEUS / "rules.yml")["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> dict[str, str]:
    """Name and PromQL of each recording rule."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
