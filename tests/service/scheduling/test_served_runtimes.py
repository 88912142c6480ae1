"""The service on a packed runtime: the same windows, and failures that end those they hit."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from torch import nn

from spikewatch.model.detector import Detector
from tests.service.support.console import Done
from tests.service.support.live import Live, comparable, dat_file, dat_stream, live_service, upload

LOW = {"confidence": 0.001}


@pytest.fixture(scope="module")
def packed(detector: Detector) -> Iterator[Live]:
    with live_service(Detector(detector.network, detector.spec, runtime="int8"), max_sessions=4) as service:
        yield service


def test_packed_windows_equal_the_reference(live: Live, packed: Live) -> None:
    (expected, totals), (found, found_totals) = (upload(each, dat_file(8), **LOW) for each in (live, packed))
    assert expected
    assert comparable(found) == comparable(expected)
    assert found_totals == totals


def test_compiled_windows_equal_the_reference(live: Live, detector: Detector) -> None:
    compiled = Detector(detector.network, detector.spec, runtime="compiled")
    with live_service(compiled, max_sessions=4) as service:
        (expected, totals), (found, found_totals) = (
            upload(each, dat_file(8), **LOW) for each in (live, service)
        )
        assert comparable(found) == comparable(expected)
        assert found_totals == totals
        assert service.http.get("/v1/models").json()["models"][0]["runtime"] == "compiled"


def test_runtime_is_reported(live: Live, packed: Live) -> None:
    for service, name in ((live, "eager"), (packed, "int8")):
        assert service.http.get("/v1/models").json()["models"][0]["runtime"] == name
    assert 'runtime="int8"' in packed.http.get("/metrics").text


def test_failure_within_step_ends_session_and_resets_slot(
    packed: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Membranes half written cannot go on; nobody after them may notice."""
    original = nn.functional.max_pool2d

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    hit = packed.open(**LOW)
    packed.http.post(f"/v1/sessions/{hit}/events", content=dat_stream(4))
    monkeypatch.setattr(nn.functional, "max_pool2d", broken)
    answer = packed.http.post(f"/v1/sessions/{hit}/events", content=dat_stream(9)[4 * 2400 :])
    assert (answer.status_code, answer.json()["code"]) == (500, "step_failed")
    monkeypatch.setattr(nn.functional, "max_pool2d", original)
    expected, _ = upload(packed, dat_file(8), **LOW)
    for _ in range(4):
        following = packed.open(**LOW)
        windows = packed.http.post(f"/v1/sessions/{following}/events", content=dat_stream(8)).json()[
            "windows"
        ]
        windows += packed.http.delete(f"/v1/sessions/{following}").json()["windows"]
        assert comparable(windows) == comparable(expected)
    assert not packed.model.engine.bank.corrupted_slots


@pytest.mark.parametrize("runtime", ["fp32", "int8x2", "int8", "compiled"])
def test_detect_prints_its_runtime(run: Callable[..., Done], runtime: str) -> None:
    done = run("detect", "service/assets/street_td.dat", "--weights", "untrained", "--runtime", runtime)
    assert done.status == 0, done.err
    assert any("runtime" in line and runtime in line for line in done.out.splitlines())


def test_invalid_runtime_is_one_clear_line(run: Callable[..., Done]) -> None:
    done = run("detect", "service/assets/street_td.dat", "--mode", "spike", "--runtime", "int8")
    assert done.status == 1
    assert "binary spikes run eagerly" in done.err
