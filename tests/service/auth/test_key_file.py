"""Where keys come from, and who uses them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.app import create_app
from spikewatch.service.auth import key_file
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.key_file import KeyFile
from spikewatch.service.auth.keys import KeyLimits, make_key
from spikewatch.service.errors import InvalidKey, InvalidSettings, RateLimited, TooManyKeyUploads
from spikewatch.service.server import make_server
from spikewatch.service.settings import Settings
from tests.service.support.console import Done
from tests.service.support.http_client import problem
from tests.service.support.keyring import ALICE, ALICE_LINE, BOB_LINE, with_key
from tests.service.support.live import dat_file, live_service
from tests.service.support.waiting import until


def test_lists_and_keys_are_read_from_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEWATCH_CORS_ORIGINS", "https://a.example,http://b:8000")
    monkeypatch.setenv("SPIKEWATCH_API_KEYS", ALICE_LINE)
    assert Settings().cors_origins == ("https://a.example", "http://b:8000")
    assert "sha256" not in repr(Settings())


def test_unreadable_key_file_prevents_start(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for name in ("absent", "empty"):
        with pytest.raises(InvalidSettings):
            create_app(Settings(api_keys_file=tmp_path / name), detector)


def test_changed_key_file_is_reloaded(
    detector: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, now = tmp_path / "keys", [0.0]
    path.write_text(ALICE_LINE)
    keys = KeyFile(path, KeyLimits(1, 1, 1), lambda: now[0])

    def names_after(text: str | None) -> list[str]:
        path.unlink() if text is None else path.write_text(text)
        before = keys()
        assert keys() is before, "it is not looked at all the time"
        now[0] += 1
        return [key.name for key in keys()]

    assert names_after(f"{ALICE_LINE}\n{BOB_LINE}") == ["alice", "bob"]
    assert names_after(f"{BOB_LINE} sessions=3") == ["bob"]
    assert keys()[0].limits.sessions == 3
    for bad in ("bob", None):
        assert names_after(bad) == ["bob"]
    assert caplog.text.count("API keys not reloaded") == 2
    assert names_after("") == []
    assert names_after(ALICE_LINE) == ["alice"]


def test_failed_reload_of_key_file_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A `chmod` that comes later, or a file descriptor that is free again, leaves the file as it is."""
    path, now = tmp_path / "keys", [0.0]
    path.write_text(f"{ALICE_LINE}\n{BOB_LINE}")
    keys = KeyFile(path, KeyLimits(1, 1, 1), lambda: now[0])

    def unreadable(_: Path) -> str:
        raise InvalidSettings("Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(key_file, "read_key_file", unreadable)
        path.write_text(BOB_LINE)
        for now[0] in (1.0, 2.0, 3.0):
            assert [key.name for key in keys()] == ["alice", "bob"]
    assert caplog.text.count("API keys not reloaded") == 1, "it is not said each second"
    now[0] = 4.0
    assert [key.name for key in keys()] == ["bob"]


def test_emptied_key_file_rejects_all_keys(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(ALICE_LINE)
    with live_service(detector, api_keys_file=path) as live, with_key(live, ALICE) as alice:
        assert alice.get("/v1/models").status_code == 200
        path.write_text("")
        until(lambda: alice.get("/v1/models").status_code == 401)
        assert problem(live.http.get("/v1/models")) == (401, "key_missing")


def test_changed_limits_count_current_use(tmp_path: Path) -> None:
    """Else each change of a line would let a key send as many recordings again, and forgive its bytes."""
    path = tmp_path / "keys"
    path.write_text(f"{ALICE_LINE} uploads=2 bytes_per_s=1000")
    access = Authenticator(Settings(api_keys_file=path))
    alice = access.authenticate(ALICE, "")
    alice.consume_bytes(5000)
    with access.upload_slot(alice), access.upload_slot(alice):
        path.write_text(f"{ALICE_LINE} uploads=1 bytes_per_s=2000")
        until(lambda: access.authenticate(ALICE, "").limits == KeyLimits(8, 1, 2000))
        with pytest.raises(TooManyKeyUploads), access.upload_slot(access.authenticate(ALICE, "")):
            pass
        with pytest.raises(RateLimited, match="2000 bytes a second"):
            access.authenticate(ALICE, "").check_rate()
        assert alice.consume_bytes(2000) < 6


@pytest.mark.parametrize("left", [BOB_LINE, make_key("alice")[1]], ids=["removed", "replaced"])
def test_removed_key_invalidates_its_tickets(tmp_path: Path, left: str) -> None:
    """Else it would open a stream once more, and keep it as long as it likes."""
    path = tmp_path / "keys"
    path.write_text(ALICE_LINE)
    access = Authenticator(Settings(api_keys_file=path))
    alice = access.authenticate(ALICE, "")
    first, second = access.tickets.issue(alice, "1"), access.tickets.issue(alice, "1")
    assert access.tickets.redeem(first, "/v1/sessions/1/stream") is alice
    path.write_text(left)
    until(lambda: refused(access, ALICE))
    with pytest.raises(InvalidKey, match="no longer"):
        access.tickets.redeem(second, "/v1/sessions/1/stream")


def refused(access: Authenticator, key: str) -> bool:
    try:
        access.authenticate(key, "")
    except InvalidKey:
        return True
    return False


@pytest.mark.parametrize(
    ("host", "keys", "warned"),
    [
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("127.0.0.1", None, False),
        ("localhost", None, False),
        # the key differs from process to process, and the test's name must not
        pytest.param("0.0.0.0", ALICE_LINE, False, id="keys"),
    ],
)
def test_service_without_keys_logs_a_warning(
    detector: Detector, host: str, keys: str | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(host=host, api_keys=keys)
    make_server(create_app(settings, detector), settings)
    assert ("no API keys are set" in caplog.text) is warned


def test_key_command_makes_a_valid_key(detector: Detector, run: Callable[..., Done]) -> None:
    done = run("key", "camera-1")
    assert done.status == 0
    key = done.err.split("shown this once: ")[1].split()[0]
    assert done.out.startswith("camera-1 sha256:")
    assert key not in done.out
    with live_service(detector, api_keys=done.out) as live:
        assert live.http.get("/v1/models", headers={"X-API-Key": key}).status_code == 200
    assert run("key", "two words").status == 1


def test_stream_sends_its_key(
    detector: Detector, run: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.dat").write_bytes(dat_file(4))
    with live_service(detector, api_keys=ALICE_LINE) as live:
        options = ["stream", tmp_path / "r.dat", "--url", live.url, "--speed", 0, "--policy", "block"]
        done = run(*options)
        assert done.status == 1
        assert "401" in done.err
        monkeypatch.setenv("SPIKEWATCH_KEY", ALICE)
        done = run(*options)
        assert done.status == 0, done.err
