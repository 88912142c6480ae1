"""Prometheus' configuration, its rules and the dashboard, checked against the metrics of the code.

Nothing is started here; `test_prometheus` runs the Prometheus part for real.
"""

import re
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from spikewatch.model.energy.degradation import SATURATED_ABOVE, SILENT_BELOW
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.settings import Settings
from spikewatch.service.sinks.collector import SinkCollector
from spikewatch.service.sinks.hub import SinkHub
from tests.e2e.support.deploy import COMPOSE, load
from tests.e2e.support.monitoring import (
    GRAFANA,
    PROMETHEUS,
    alerts,
    dashboard,
    expressions,
    panels,
    recorded,
    rows,
    rules,
)

METRIC = re.compile(r"(?<![\w:])spikewatch_\w+")
RECORDED = re.compile(r"\w+:spikewatch_\w+:\w+")
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
}


@cache
def exposed() -> set[str]:
    """Names of all series that the service has, as Prometheus spells them."""
    registry = Metrics(CollectorRegistry()).registry
    registry.register(SinkCollector(SinkHub([], 1, "drop_oldest", print)))
    families = registry.collect()
    return {family.name + suffix for family in families for suffix in SUFFIXES[family.type]}


def test_prometheus_scrapes_the_service_and_reads_the_rules() -> None:
    config, compose = load(PROMETHEUS / "prometheus.yml"), load(COMPOSE)
    (scrape,) = config["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target == f"spikewatch:{Settings.model_fields['port'].default}"
    assert scrape["job_name"] == "spikewatch", "the dashboard and the rules name this job"
    assert all((PROMETHEUS / name).is_file() for name in config["rule_files"])
    assert "./docker/prometheus:/etc/prometheus:ro" in compose["services"]["prometheus"]["volumes"]


def test_grafana_finds_its_data_source_and_its_dashboard() -> None:
    (source,) = load(GRAFANA / "provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = load(GRAFANA / "provisioning/dashboards/spikewatch.yml")["providers"]
    compose = load(COMPOSE)["services"]["grafana"]
    scraped = load(PROMETHEUS / "prometheus.yml")["global"]["scrape_interval"]
    chosen = {
        variable["name"]: variable["current"]["value"] for variable in dashboard()["templating"]["list"]
    }
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == scraped, "or $__rate_interval is wrong"
    assert source["uid"] == chosen["datasource"]
    for kind in ("datasources", "dashboards"):
        mount = f"./docker/grafana/provisioning/{kind}:/etc/grafana/provisioning/{kind}:ro"
        assert mount in compose["volumes"]
    assert f"./docker/grafana/dashboards:{provider['options']['path']}:ro" in compose["volumes"]
    home = compose["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/spikewatch.json"
    assert dashboard()["uid"] == "spikewatch"


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panel_says_what_it_answers_in_which_unit(panel: dict[str, Any]) -> None:
    assert "?" in panel["description"], "a description begins with the question it answers"
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["legendFormat"] for target in panel["targets"])
    assert len({target["legendFormat"] for target in panel["targets"]}) == len(panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["options"]["legend"]["showLegend"]


def test_panels_have_an_id_and_a_place_of_their_own() -> None:
    everything = [*rows(), *panels()]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in everything]
    assert all(x + w <= 24 for x, _, w, _ in places)
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(places, 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_three_open_rows_answer_the_questions_of_an_operator() -> None:
    open_rows = [row["title"] for row in rows() if not row["collapsed"]]
    assert open_rows == ["Is it healthy?", "Is it fast enough?", "What does it cost?"]
    assert all(row["panels"] for row in rows() if row["collapsed"])


def test_dashboard_and_rules_use_only_metrics_that_exist() -> None:
    used = [expr for _, _, expr in expressions()] + [rule["expr"] for rule in rules()]
    used += [v["query"]["query"] for v in dashboard()["templating"]["list"] if v["type"] == "query"]
    assert {name for expr in used for name in METRIC.findall(expr)} <= exposed()
    assert {name for expr in used for name in RECORDED.findall(expr)} <= set(recorded())


def test_dashboard_leaves_no_metric_out() -> None:
    shown = {name for _, _, expr in expressions() for name in METRIC.findall(expr)}
    shown |= {name for expr in recorded().values() for name in METRIC.findall(expr)}
    ends = ("_bucket", "_sum", "_count")
    own = {name for name in exposed() if name.startswith("spikewatch_") and not name.endswith(ends)}
    missing = own - shown
    assert not missing


def test_rates_follow_the_resolution_of_the_dashboard() -> None:
    for title, _, expr in expressions():
        assert set(re.findall(r"\}\[(.*?)\]", expr)) <= {"$__rate_interval", "$__range"}, title


def test_alerts_say_what_is_wrong_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
        assert rule["annotations"]["runbook"].startswith("1. "), rule["alert"]


def test_runbooks_name_panels_and_settings_that_exist() -> None:
    titles = {panel["title"] for panel in panels()}
    for rule in alerts():
        text = " ".join(rule["annotations"].values())
        for words in re.findall(r"[Pp]anel ((?:[A-Z]\w*)(?: [\w-]+)*)", text):
            assert any(words.startswith(title) for title in titles), f"{rule['alert']}: panel {words}"
        for name in re.findall(r"SPIKEWATCH_(\w+)", text):
            assert name.lower() in Settings.model_fields, f"{rule['alert']}: {name}"
        for other in re.findall(r"\bSpikewatch[A-Z]\w+", text):
            assert other in {rule["alert"] for rule in alerts()}, f"{rule['alert']}: {other}"


def test_thresholds_of_the_rules_are_those_of_the_code() -> None:
    expr = {rule["alert"]: rule["expr"] for rule in alerts()}
    assert f"< {SILENT_BELOW})" in expr["SpikewatchLayersSilent"]
    assert f"> {SATURATED_ABOVE})" in expr["SpikewatchLayersSaturated"]


def test_every_rule_has_a_unit_test_in_which_it_speaks() -> None:
    told = (PROMETHEUS / "rules_test.yml").read_text()
    for rule in alerts():
        assert re.search(rf'alertname[:=] ?"?{rule["alert"]}\b', told), rule["alert"]
    for name in recorded():
        assert f"labels: {name}{{" in told, name
