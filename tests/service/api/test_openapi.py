"""The OpenAPI document: references and links lead somewhere, and requests are held to it."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest

from tests.service.support.http_client import problem
from tests.service.support.live import Live


def references(node: Any) -> Iterator[str]:
    """Every `$ref` of a document."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        yield node["$ref"]
    for child in children:
        yield from references(child)


def test_every_reference_resolves(live: Live) -> None:
    document = live.http.get("/openapi.json").json()
    found = set(references(document))
    assert {"#/components/schemas/SessionRequest", "#/components/schemas/Zone"} <= found
    for reference in found:
        root, *steps = reference.split("/")
        assert root == "#", reference
        assert reduce(lambda node, step: node[step], steps, document)


@pytest.mark.parametrize(
    ("path", "status", "least"), [("/v1/sessions", "201", 8), ("/v1/detections", "200", 3)]
)
def test_links_name_operations_that_take_the_id(live: Live, path: str, status: str, least: int) -> None:
    paths = live.http.get("/openapi.json").json()["paths"]
    taken = {
        operation["operationId"]: {parameter["name"] for parameter in operation.get("parameters", ())}
        for methods in paths.values()
        for operation in methods.values()
    }
    links = paths[path]["post"]["responses"][status]["links"]
    assert len(links) >= least
    for link in links.values():
        assert link["parameters"].keys() <= taken[link["operationId"]]


@pytest.mark.parametrize("wrong", [{"track": 0}, {"width": "64", "height": 48}, {"confidence": "0.5"}])
def test_other_types_than_described_are_rejected(live: Live, wrong: dict[str, Any]) -> None:
    assert problem(live.http.post("/v1/sessions", json=wrong)) == (422, "invalid_request")
