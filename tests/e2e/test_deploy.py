"""The deployment's files: checked by the tools of their field where they are installed, and against the code.

No image is built or started here; `test_prometheus` runs the Prometheus part for real.
"""

import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from fastapi.routing import APIRoute
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS
from spikewatch.service.api import health
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots import saver
from tests.e2e.support.deploy import COMPOSE, DOCKERFILE, ROOT, build_wheel, copied, load, probe, rest_of, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SERVICES = ("spikewatch", "prometheus", "grafana")


def tool(name: str) -> str:
    """A program beside this Python or in PATH; skips the test where it is absent."""
    path = shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def composed() -> Any:
    """The compose file as it is without a `.env`: `${NAME:-value}` is value."""
    return yaml.safe_load(re.sub(r"\$\{\w+:-(.*?)\}", r"\1", COMPOSE.read_text()))


# The image


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    run(tool("hadolint"), DOCKERFILE)


def test_image_runs_as_a_numeric_user_that_is_not_root() -> None:
    defaults = dict(rest.split("=", 1) for rest in rest_of("ARG"))
    assert int(re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], rest_of("USER")[-1])) > 0


def test_every_base_image_names_a_version() -> None:
    defaults = dict(rest.split("=", 1) for rest in rest_of("ARG"))
    for base in rest_of("FROM"):
        image = re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], base.split()[0])
        assert re.fullmatch(r"[\w./-]+:\d[\w.-]*", image), image


def test_image_environment() -> None:
    environment = dict(part.split("=", 1) for rest in rest_of("ENV") for part in shlex.split(rest))
    assert environment["PYTHONSAFEPATH"] == environment["PYTHONUNBUFFERED"] == "1"
    (volume,) = rest_of("VOLUME")
    for name in ("NUMBA_CACHE_DIR", "SPIKEWATCH_KERNEL_CACHE", "TMPDIR"):
        assert PurePosixPath(environment[name]).is_relative_to(volume), f"{name} must be writable"


def test_image_serves_to_the_outside() -> None:
    command = json.loads(rest_of("ENTRYPOINT")[0]) + json.loads(rest_of("CMD")[0])
    assert command == ["spikewatch", "serve", "--host", "0.0.0.0"]
    assert command[0] in PROJECT["scripts"]
    assert rest_of("EXPOSE") == [str(Settings.model_fields["port"].default)]


def test_health_check_asks_a_route_that_exists() -> None:
    (route,) = re.findall(r"/v2[\w/]+", probe()[-1])
    assert route in {entry.path for entry in health.router.routes if isinstance(entry, APIRoute)}


def test_copied_paths_exist_and_are_in_the_build_context() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    for source in copied():
        ignored = False
        for line in lines:  # the last line that matches decides
            if fnmatch(source, line.lstrip("!")):
                ignored = not line.startswith("!")
        assert not ignored, f"{source} is in .dockerignore"
        assert (ROOT / source).exists(), source


def test_what_is_copied_is_enough_to_build_the_wheel(tmp_path: Path) -> None:
    with ZipFile(build_wheel(tmp_path)) as archive:
        names = archive.namelist()
    needed = ("service/viewer/index.html", "service/assets/street_td.dat", "service/api/health.py")
    needed = (
        *needed,
        f"model/shipped/{DEFAULT_WEIGHTS}.safetensors",
        "ingest/slicing/slicer.py",
        "__init__.py",
        "__main__.py",
    )
    assert {f"spikewatch/{name}" for name in needed} <= set(names)
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"spikewatch"}


# The pins


def requirements() -> Iterator[str]:
    """Names of all distributions that the project and its extras need on this machine."""
    seen: set[tuple[str, str]] = set()
    # 150 and 240 MB, which make setup leaves out
    extras = set(PROJECT["optional-dependencies"]) - {"cluster", "supervision"}
    todo = [("spikewatch", ""), *(("spikewatch", extra) for extra in extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        yield name
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(needed.name), also) for also in ("", *needed.extras)]


def test_constraints_pin_everything_the_project_needs() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert list(pins) == sorted(pins)
    assert pins["torch"] == "2.13.0"
    assert not [version for version in pins.values() if "+" in version]
    assert set(requirements()) - set(pins) == {"spikewatch"}


# Compose


def test_compose_file_follows_the_compose_specification() -> None:
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)


@pytest.mark.parametrize("name", SERVICES)
def test_container_can_do_no_more_than_it_must(name: str) -> None:
    service = load(COMPOSE)["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"mem_limit", "pids_limit", "stop_grace_period"} <= set(service)
    assert "healthcheck" in service or "build" in service, "our own image brings its health check"
    assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in service["ports"])


@pytest.mark.parametrize("name", SERVICES)
def test_container_image_names_a_full_version(name: str) -> None:
    image, tag = load(COMPOSE)["services"][name]["image"].rsplit(":", 1)
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag), f"{image}:{tag}"
    if name == "spikewatch":
        assert tag == PROJECT["version"]


def test_compose_starts_these_services_and_no_others() -> None:
    assert tuple(load(COMPOSE)["services"]) == SERVICES


def test_stop_is_given_the_time_to_drain() -> None:
    service = composed()["services"]["spikewatch"]
    drain_s, sessions = (Settings.model_fields[name].default for name in ("drain_timeout_s", "max_sessions"))
    saving_s = sessions / saver.MAX_CONCURRENT_SAVES * saver.FINAL_SAVE_TIMEOUT_S
    assert float(service["stop_grace_period"].removesuffix("s")) > 2 * drain_s + saving_s


def test_every_setting_can_be_given() -> None:
    service = load(COMPOSE)["services"]["spikewatch"]
    assert service["env_file"] == [{"path": ".env", "required": False}]
    fixed = {name for name, value in service["environment"].items() if value is not None}
    assert fixed == {"SPIKEWATCH_PORT", "SPIKEWATCH_SNAPSHOT_DIR"}, "the rest is as .env says"
    for name in service["environment"]:
        assert name.removeprefix("SPIKEWATCH_").lower() in Settings.model_fields, name


def test_texts_name_only_variables_that_exist() -> None:
    clients = {"KEY", "URL", "TEST_DATA", "API_KEY_FILE"}  # the last is an example of a misspelt one
    known = clients | {name.upper() for name in Settings.model_fields}
    texts = [COMPOSE, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")]
    texts += [path for path in (ROOT / "docker").rglob("*") if path.is_file()]
    for path in texts:
        named = set(re.findall(r"SPIKEWATCH_([A-Z]\w+)", path.read_text()))
        assert named <= known, path


def test_image_of_compose_has_no_cuda() -> None:
    args = composed()["services"]["spikewatch"]["build"]["args"]
    assert args == {"TORCH_INDEX": "https://download.pytorch.org/whl/cpu"}
    assert "ARG TORCH_INDEX=" in (ROOT / "docker/Dockerfile").read_text()


def test_sessions_outlive_the_container() -> None:
    compose = load(COMPOSE)
    service = compose["services"]["spikewatch"]
    folder = service["environment"]["SPIKEWATCH_SNAPSHOT_DIR"]
    (volume,) = (v.split(":")[0] for v in service["volumes"] if v.split(":")[1] == folder)
    assert volume in compose["volumes"]
    owned = [shlex.split(rest) for rest in rest_of("RUN") if "--owner=spikewatch" in rest]
    assert any(folder in words for words in owned), "a volume on a folder of root could not be written"


def test_port_is_the_one_that_is_published() -> None:
    service = composed()["services"]["spikewatch"]
    assert service["ports"] == [
        f"127.0.0.1:{port}:{port}" for port in [service["environment"]["SPIKEWATCH_PORT"]]
    ]


def test_prometheus_may_have_a_key() -> None:
    compose = composed()["services"]["prometheus"]
    (scrape,) = load(ROOT / "docker/prometheus/prometheus.yml")["scrape_configs"]
    key = scrape["authorization"]["credentials_file"]
    assert f"./docker/prometheus/no-key:{key}:ro" in compose["volumes"]
    assert (ROOT / "docker/prometheus/no-key").read_text() == ""


def test_compose_mounts_only_what_exists() -> None:
    compose = composed()
    for service in compose["services"].values():
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert mode == ["ro"], volume
                assert (ROOT / source).exists(), volume
            else:
                assert source in compose["volumes"], volume
                assert mode == [], volume
            assert PurePosixPath(target).is_absolute(), volume
