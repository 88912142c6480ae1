"""`spikewatch serve`: wrong settings end it with one clear line, before anything is loaded."""

import socket
from collections.abc import Callable

import pytest

from spikewatch.service import app
from spikewatch.service.errors import InvalidSettings
from spikewatch.service.listen import bind, display_address
from spikewatch.service.settings import check_names
from tests.service.support.console import Done


@pytest.fixture(autouse=True)
def nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "create_app", lambda *_: pytest.fail("the settings were accepted"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "API_KEY_FILE",
            "keys.txt",
            "SPIKEWATCH_API_KEY_FILE is not a setting; did you mean SPIKEWATCH_API_KEYS_FILE?",
        ),
        ("NONSENSE", "1", "SPIKEWATCH_NONSENSE is not a setting"),
        ("IDLE_TIMEOUT_S", "inf", "idle_timeout_s"),
        ("IDLE_TIMEOUT_S", "1e12", "idle_timeout_s"),
        ("DRAIN_TIMEOUT_S", "nan", "drain_timeout_s"),
        ("LOG_LEVEL", "loud", "log_level"),
        ("ROOT_PATH", "camera/", "root_path"),
    ],
)
def test_wrong_setting_is_refused(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"SPIKEWATCH_{name}", value)
    done = run("serve")
    assert done.status == 2
    assert expected in " ".join(done.err.replace("│", "").split())
    assert "Traceback" not in done.err


def test_variables_of_clients_and_of_kubernetes_are_accepted() -> None:
    names = ("KEY", "URL", "KERNEL_CACHE", "SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8000_TCP_ADDR", "PORT")
    check_names([f"SPIKEWATCH_{name}" for name in names] + ["PATH", "spikewatch_port"])
    with pytest.raises(ValueError, match="did you mean SPIKEWATCH_PORT"):
        check_names(["SPIKEWATCH_PORTS"])


def test_serve_ends_on_a_taken_port(run: Callable[..., Done]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--port", taken.getsockname()[1])
    assert done.status == 1
    assert "cannot listen there: Address already in use" in done.err


def test_taken_port_is_named_before_anything_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="cannot listen there: Address already in use") as caught:
            bind("127.0.0.1", port)
    assert caught.value.filename == f"127.0.0.1 port {port}"
    with pytest.raises(OSError, match="cannot listen there"):
        bind("no.such.host.invalid", 0)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_two_colons_listen_on_ipv4_too() -> None:
    (listener,) = bind("::", 0)
    with listener:
        listener.listen()
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), 5).close()
        assert display_address("::", [listener]) == f"[::]:{port}"


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta:x"])
def test_unusable_device_is_named(device: str) -> None:
    with pytest.raises(InvalidSettings, match=f"device '{device}' cannot be used"):
        app.check_device(device)
    app.check_device("cpu")
