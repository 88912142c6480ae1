"""Which web pages may use a service, by which names, and what of it is open to all."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import websockets
from pydantic import ValidationError
from websockets.sync.client import connect

from spikewatch.model.detector import Detector
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.errors import OriginNotAllowed
from spikewatch.service.settings import Settings
from tests.service.support.http_client import problem
from tests.service.support.keyring import ALICE, ALICE_LINE
from tests.service.support.live import SENSOR, Live
from tests.service.support.shared import SharedServices


def test_origin_of_other_site_is_rejected(live: Live, detector: Detector) -> None:
    """Whoever opens a page in a browser on this machine lends it the way to a service on loopback."""
    foreign = {"Origin": "https://evil.example"}
    assert problem(live.http.post("/v1/sessions", json=SENSOR, headers=foreign)) == (403, "origin_refused")
    for odd in ("null", "http://[::1", "//", live.url + "0"):
        answer = live.http.post("/v1/sessions", headers={"Origin": odd})
        assert problem(answer) == (403, "origin_refused"), odd
    answer = live.http.get("/v1/sessions", headers=foreign)
    assert "access-control-allow-origin" not in answer.headers
    session_id = live.open()
    address = f"{live.ws_url}/v1/sessions/{session_id}/watch"
    with pytest.raises(websockets.InvalidStatus), connect(address, origin="https://evil.example"):
        pass
    with connect(address, origin=live.url):
        pass
    assert live.http.delete(f"/v1/sessions/{session_id}", headers={"Origin": live.url}).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://a.example", "a.example:80", True),
        ("http://A.example:80", "a.EXAMPLE", True),
        ("https://a.example", "a.example:443", True),
        ("https://a.example", "a.example", True),
        ("https://friend.example:443", "a.example", True),
        ("HTTPS://Friend.Example", "a.example", True),
        ("https://a.example", "a.example:80", False),
        ("http://a.example:8080", "a.example", False),
        ("http://b.a.example", "a.example", False),
        ("http://friend.example", "a.example", False),
        ("ws://a.example", "a.example", False),
        ("http://a.example:x", "a.example:x", False),
        ("http://", "", False),
    ],
)
def test_origins_are_compared_by_scheme_host_and_port(origin: str, host: str, same: bool) -> None:
    authenticator = Authenticator(Settings(cors_origins="https://Friend.example"))  # type: ignore[arg-type]
    with nullcontext() if same else pytest.raises(OriginNotAllowed):
        authenticator.check_origin(origin, host)


def test_listed_origin_is_allowed(services: SharedServices) -> None:
    friend = {"Origin": "https://friend.example"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    live = services(cors_origins="https://friend.example, http://b:1", api_keys=ALICE_LINE)
    answer = live.http.options("/v1/sessions", headers=friend | asks)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    answer = live.http.post("/v1/sessions", json=SENSOR, headers=friend | {"X-API-Key": ALICE})
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == "https://friend.example"
    assert "access-control-allow-credentials" not in answer.headers
    refused = live.http.post("/v1/sessions", headers=friend)
    assert refused.headers["access-control-allow-origin"] == "https://friend.example"
    evil = live.http.options("/v1/sessions", headers={"Origin": "https://evil.example"} | asks)
    assert "access-control-allow-origin" not in evil.headers


def test_host_not_in_allowed_hosts_is_rejected(services: SharedServices) -> None:
    live = services(allowed_hosts="localhost, 127.0.0.1")
    assert live.http.get("/v1/models").status_code == 200
    for host in (f"evil.example:{live.port}", "[::", "localhost.evil.example", "@localhost:x@y"):
        answer = live.http.get("/v1/models", headers={"Host": host})
        assert problem(answer) == (400, "bad_request"), host


@pytest.mark.parametrize("origins", ["*", "https://a.example/", "a.example", "https://*.example"])
def test_invalid_cors_origin_is_rejected(origins: str) -> None:
    with pytest.raises(ValidationError, match="invalid origin"):
        Settings(cors_origins=origins)


def test_pages_and_metrics_have_separate_key_settings(services: SharedServices, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("mine")
    pages = ("/", "/viewer/main.js", "/viewer/demo.dat", "/pages/a.html", "/docs", "/openapi.json")
    for metrics, viewer in ((True, False), (False, True)):
        options = {"key_for_metrics": metrics, "key_for_viewer": viewer, "pages": tmp_path}
        live = services(api_keys=ALICE_LINE, **options)
        assert live.http.get("/metrics").status_code == (401 if metrics else 200)
        for path in pages:
            assert live.http.get(path).status_code == (401 if viewer else 200), path
        for path in ("/metrics", *pages):
            assert live.http.get(path, headers={"X-API-Key": ALICE}).status_code == 200
        assert problem(live.http.get("/viewer/../v1/sessions")) == (401, "key_missing")
        assert problem(live.http.get("//v1/sessions")) == (401, "key_missing")
