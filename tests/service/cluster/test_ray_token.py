"""The token of Ray, and the command without Ray."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from spikewatch.service.cli.commands import cluster
from spikewatch.service.cluster.ray_token import TOKEN_FILE, use_token
from tests.service.support.console import Done


def test_token_is_private_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN_PATH",
        "RAY_USAGE_STATS_ENABLED",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV",
    ):
        monkeypatch.setenv(name, "")
    use_token(tmp_path / "new")
    path = tmp_path / "new" / TOKEN_FILE
    token = path.read_text()
    use_token(tmp_path / "new")
    assert (path.read_text(), len(token), path.stat().st_mode & 0o777) == (token, 64, 0o600)
    assert (os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"]) == ("token", str(path))


@pytest.mark.parametrize("command", [["up"], ["status"], ["drain", "worker-0"]])
def test_cluster_without_ray_says_what_to_install(
    run: Callable[..., Done], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda _name: None)
    done = run("cluster", *command, "--folder", tmp_path)
    assert (done.status, list(tmp_path.iterdir())) == (1, [])
    assert "pip install 'spikewatch[cluster]'" in done.err
