"""Headers and pages for browsers, methods, and a service behind the path prefix of a proxy."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.api import viewer
from tests.service.support.http_client import problem
from tests.service.support.live import Live, live_service

ELSEWHERE = re.compile(r"https?://|//[a-z]")


@pytest.fixture(scope="module")
def prefixed(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose proxy removes /camera."""
    pages = tmp_path_factory.mktemp("pages")
    (pages / "own.html").write_text("<script>1</script>")
    with live_service(detector, root_path="/camera", pages=pages) as live:
        yield live


@pytest.mark.parametrize("path", ["/", "/docs", "/viewer/main.js", "/v1/sessions", "/nowhere", "/metrics"])
def test_responses_restrict_what_browsers_do(live: Live, path: str) -> None:
    headers = live.http.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]


def test_own_pages_may_have_scripts_of_their_own(prefixed: Live) -> None:
    headers = prefixed.http.get("/pages/own.html").headers
    assert "content-security-policy" not in headers
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("page", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere(live: Live, page: str) -> None:
    text = live.http.get(page).text
    assert not ELSEWHERE.search(text)
    links = re.findall(r'(?:href|src)="([^"#]+)"', text)
    assert len(links) > 3
    for link in links:
        assert not link.startswith("/"), "a proxy may put the service below a path"
        assert live.http.get(f"/{link}").status_code == 200, link
    assert live.http.get("/favicon.ico").headers["content-type"].startswith("image/svg")


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/metrics", "/", "/docs"])
def test_head_is_answered_as_get_without_a_body(live: Live, path: str) -> None:
    answer = live.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


def test_wrong_method_names_all_that_are_allowed(live: Live) -> None:
    for path, allowed in (("/v1/sessions", "GET, POST"), ("/v1/sessions/x", "DELETE, GET")):
        answer = live.http.patch(path)
        assert problem(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("place", ["/v1/detections", "/v1/sessions/{}/events"])
def test_form_is_rejected_with_the_right_way(live: Live, place: str) -> None:
    session_id = live.open()
    answer = live.http.post(place.format(session_id), files={"file": b"12345678"})
    assert problem(answer) == (415, "unsupported_body")
    assert "--data-binary" in answer.json()["detail"]
    live.http.delete(f"/v1/sessions/{session_id}")


def test_errors_name_parameters_instead_of_options(live: Live) -> None:
    detail = live.http.post("/v1/detections?format=dat", content=bytes(16)).json()["detail"]
    assert "width and height" in detail
    assert "--" not in detail


def test_addresses_have_the_prefix_of_the_proxy(prefixed: Live) -> None:
    answer = prefixed.http.post("/v1/sessions", json={})
    info = answer.json()
    assert answer.headers["location"] == f"/camera/v1/sessions/{info['session_id']}"
    assert info["stream_url"] == f"/camera/v1/sessions/{info['session_id']}/stream"
    ticket = prefixed.http.post(f"/v1/sessions/{info['session_id']}/ticket").json()
    assert ticket["watch_url"].startswith("/camera/v1/sessions/")
    assert prefixed.http.get("/openapi.json").json()["servers"] == [{"url": "/camera"}]
    with prefixed.connect(info["session_id"]) as socket:
        socket.send("close")
    upload = prefixed.http.post("/v1/detections?format=dat&width=9&height=9", content=bytes(8))
    assert upload.headers["location"].startswith("/camera/v1/detections/")


def test_openapi_names_only_possible_errors(live: Live) -> None:
    document = live.http.get("/openapi.json").json()
    operations = [entry for methods in document["paths"].values() for entry in methods.values()]
    ids = [entry["operationId"] for entry in operations]
    assert sorted(ids) == sorted(set(ids))
    assert all(re.fullmatch("[a-z_]+", name) for name in ids)
    assert {tag for entry in operations for tag in entry["tags"]} == {tag["name"] for tag in document["tags"]}
    assert len({entry["summary"] for entry in operations}) == len(operations)
    assert document["components"]["securitySchemes"].keys() == {"bearer", "apiKey"}
    paths = document["paths"]
    assert paths["/v2/health/live"]["get"]["responses"].keys() == {"200"}
    assert paths["/v1/sessions"]["get"]["responses"].keys() == {"200", "401"}
    assert paths["/v1/sessions/{session_id}"]["get"]["responses"].keys() == {"200", "401", "404", "410"}
    references = set(re.findall(r"#/components/schemas/(\w+)", live.http.get("/openapi.json").text))
    assert references == document["components"]["schemas"].keys()


def test_missing_descriptors_are_a_problem_to_retry(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(viewer, "FileResponse", fails)
    answer = live.http.get("/docs")
    assert problem(answer) == (503, "connections_full")
    assert int(answer.headers["retry-after"]) > 0


def test_docs_have_the_licence_of_swagger_ui() -> None:
    folder = Path(__file__).parents[3] / "service/api_docs"
    assert "Apache License" in (folder / "LICENSE").read_text()
    assert (folder / "NOTICE").exists()
