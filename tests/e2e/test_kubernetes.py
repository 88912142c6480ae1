"""The Kubernetes manifests: against the schemas of Kubernetes, and against image, settings and routes."""

import shlex
from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.routing import APIRoute

from spikewatch.service.api import health
from spikewatch.service.settings import Settings
from tests.e2e.support.deploy import COMPOSE, ROOT, load, rest_of

FOLDER = ROOT / "docker" / "kubernetes"
FILES = load(FOLDER / "kustomization.yaml")["resources"]
OURS = {"app.kubernetes.io/name": "spikewatch"}


def objects() -> list[Any]:
    return [entry for name in FILES for entry in yaml.safe_load_all((FOLDER / name).read_text())]


def of_kind(kind: str) -> Any:
    return next(entry for entry in objects() if entry["kind"] == kind)


def pod() -> Any:
    return of_kind("StatefulSet")["spec"]["template"]["spec"]


def container() -> Any:
    (found,) = pod()["containers"]
    return found


def test_every_file_is_listed() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, "kustomization.yaml"}


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
def test_manifests_match_the_schemas_of_kubernetes(version: str) -> None:
    checked = [entry for entry in objects() if not entry["apiVersion"].startswith("monitoring.")]
    for entry in checked:
        kubernetes_validate.validate(entry, version, strict=True)
    assert len(checked) == 4
    broken = {**checked[0], "spec": {**checked[0]["spec"], "sesionAffinity": "ClientIP"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_selectors_find_the_pods_and_ports_have_names() -> None:
    labels = of_kind("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert labels == OURS
    for kind in ("StatefulSet", "PodDisruptionBudget"):
        assert of_kind(kind)["spec"]["selector"]["matchLabels"] == OURS
    names = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert names == {"http": Settings.model_fields["port"].default}
    for service in (entry for entry in objects() if entry["kind"] == "Service"):
        assert service["spec"]["selector"] == OURS
        assert {port["targetPort"] for port in service["spec"]["ports"]} == set(names)
    services = {entry["metadata"]["name"] for entry in objects() if entry["kind"] == "Service"}
    assert of_kind("StatefulSet")["spec"]["serviceName"] in services


def test_the_monitor_scrapes_each_pod_once() -> None:
    monitor = of_kind("ServiceMonitor")["spec"]
    matching = [
        entry
        for entry in objects()
        if entry["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= entry["metadata"]["labels"].items()
    ]
    assert [entry["metadata"]["name"] for entry in matching] == ["spikewatch"]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in matching[0]["spec"]["ports"]}
    assert matching[0]["metadata"]["labels"][monitor["jobLabel"]] == "spikewatch"  # the alerts' job


def test_probes_ask_routes_that_exist() -> None:
    known = {entry.path for entry in health.router.routes if isinstance(entry, APIRoute)}
    asked = [container()[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert set(asked) <= known
    assert asked[1] != asked[2], "a pod that drains must stay alive"


def test_environment_names_settings_only() -> None:
    for entry in container()["env"]:
        assert entry["name"].removeprefix("SPIKEWATCH_").lower() in Settings.model_fields, entry["name"]
    assert pod()["enableServiceLinks"] is False  # a Service `spikewatch` sets SPIKEWATCH_PORT=tcp://...


def test_every_folder_that_the_image_writes_is_a_volume() -> None:
    mounts = [PurePosixPath(mount["mountPath"]) for mount in container()["volumeMounts"]]
    environment = dict(part.split("=", 1) for rest in rest_of("ENV") for part in shlex.split(rest))
    written = [environment[n] for n in ("NUMBA_CACHE_DIR", "SPIKEWATCH_KERNEL_CACHE")]
    written += [container()["env"][0]["value"]]
    for folder in written:
        assert any(PurePosixPath(folder).is_relative_to(mount) for mount in mounts), folder
    # a volume over the parent would hide the folder, which Python does not create for temporary files
    assert PurePosixPath(environment["TMPDIR"]) in mounts
    assert container()["securityContext"]["readOnlyRootFilesystem"]


def test_grace_user_and_version_agree_with_image_and_compose() -> None:
    defaults = Settings.model_construct()
    assert pod()["terminationGracePeriodSeconds"] >= 2 * defaults.drain_timeout_s + 10
    uid = dict(rest.split("=", 1) for rest in rest_of("ARG") if "=" in rest)["APP_UID"]
    assert pod()["securityContext"]["runAsUser"] == pod()["securityContext"]["fsGroup"] == int(uid)
    (image,) = load(FOLDER / "kustomization.yaml")["images"]
    assert f"{image['name']}:{image['newTag']}" == load(COMPOSE)["services"]["spikewatch"]["image"]


def test_volume_holds_all_snapshots() -> None:
    (claim,) = of_kind("StatefulSet")["spec"]["volumeClaimTemplates"]
    size = claim["spec"]["resources"]["requests"]["storage"]
    assert int(size.removesuffix("Gi")) << 30 > Settings.model_fields["snapshot_max_bytes"].default
