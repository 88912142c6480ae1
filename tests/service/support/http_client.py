"""What tests ask of a service over HTTP."""

from typing import Any

import httpx

from tests.service.support.live import SENSOR, Live


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def opened(client: httpx.Client, **wanted: Any) -> str:
    answer = client.post("/v1/sessions", json=SENSOR | wanted)
    assert answer.status_code == 201, answer.text
    session_id: str = answer.json()["session_id"]
    return session_id


def met(live: Live, bound: str) -> float:
    """How often a bound was met."""
    return live.metric(met_metric(bound))


def met_metric(bound: str) -> str:
    return f'spikewatch_bounds_met_total{{bound="{bound}"}}'
