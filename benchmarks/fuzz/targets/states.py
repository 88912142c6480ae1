"""Targets of saved states: checkpoints and snapshots of sessions.

An input that begins with `{` is the JSON text of a file whose tensors are right, another is a whole file.
"""

import asyncio
import json
from functools import cache

import httpx
import numpy as np
from fastapi import FastAPI
from safetensors.torch import load

from benchmarks.fuzz.targets import Target
from benchmarks.fuzz.targets.files import with_file
from spikewatch.model.checkpoints.checkpoint import CHECKPOINT_FORMAT, load_checkpoint, untrained_network
from spikewatch.model.detector import Detector
from spikewatch.model.errors import CheckpointError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.spec import ModelSpec
from spikewatch.service.app import create_app
from spikewatch.service.errors import InvalidSnapshot
from spikewatch.service.model_catalog import compute_fingerprint
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots.encoding import decode_text, encode
from spikewatch.service.snapshots.snapshot import read_snapshot


def checkpoint() -> Target:
    """Return the target of weights files; the text is their specification, and they have no tensors."""
    read = with_file(_load)

    def run(data: bytes) -> None:
        read(_wrap_spec(data) if data.startswith(b"{") else data)

    return run


def _load(path: object) -> None:
    try:
        load_checkpoint(path)  # type: ignore[arg-type]
    except CheckpointError:
        return


def _wrap_spec(text: bytes) -> bytes:
    metadata = {"format": CHECKPOINT_FORMAT, "spec": text.decode("utf-8", "replace")}
    header = json.dumps({"__metadata__": metadata}).encode()
    return len(header).to_bytes(8, "little") + header


@cache
def tiny_detector() -> Detector:
    """Return the smallest detector, whose states have some ten kilobytes."""
    config = SpikeYOLOConfig()
    spec = ModelSpec("tiny", config, input_height=32, input_width=32)
    return Detector(untrained_network(config), spec)


def session_state() -> bytes:
    """Return the state of a tracked session on `tiny_detector` after some results, as a client gets it."""
    random = np.random.default_rng(0)
    t = np.sort(random.integers(0, 500_000, 800)).astype(np.uint64)
    address = random.integers(0, 32, 800, np.uint64) | random.integers(0, 32, 800, np.uint64) << np.uint64(14)
    events = (address << np.uint64(32) | t).tobytes()
    options = {"width": 32, "height": 32, "slices": 2, "hop": 1, "track": True, "confidence": 0.001}
    return asyncio.run(_fetch_state(create_app(Settings(runtime="eager"), tiny_detector()), options, events))


async def _fetch_state(app: FastAPI, options: dict[str, object], events: bytes) -> bytes:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client,
    ):
        opened = await client.post("/v1/sessions", json=options)
        session = f"/v1/sessions/{opened.raise_for_status().json()['session_id']}"
        (await client.post(f"{session}/events", content=events)).raise_for_status()
        return (await client.get(f"{session}/state")).raise_for_status().content


def session_text() -> str:
    """Return the text of `session_state` without the identity of its model, which the target adds."""
    fields = json.loads(decode_text("session", session_state()))
    return json.dumps(fields | {"identity": {}}, separators=(",", ":"))


def snapshot() -> Target:
    """Return the target of sessions' states. An accepted one must read the same when it is written again."""
    detector = tiny_detector()
    fingerprint = compute_fingerprint(detector)
    tensors = load(session_state())

    def run(data: bytes) -> None:
        whole = encode("session", _with_identity(data), tensors) if data.startswith(b"{") else data
        try:
            accepted = read_snapshot(whole, detector, fingerprint)
        except InvalidSnapshot:
            return
        again = read_snapshot(accepted.encode(), detector, fingerprint)
        assert again.metadata.to_json() == accepted.metadata.to_json()

    def _with_identity(data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return json.dumps(fields | {"identity": fingerprint}) if isinstance(fields, dict) else text

    return run
