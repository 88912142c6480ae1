"""Snapshots as safetensors bytes: tensors, and the text of all other state in the metadata."""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from spikewatch.ingest.errors import IngestError
from spikewatch.model.errors import StateError
from spikewatch.service.errors import InvalidSnapshot, ServiceError

A = TypeVar("A")

_MALFORMED_ERRORS = (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error)


@contextmanager
def rejecting_malformed(what: str) -> Iterator[None]:
    """Raise InvalidSnapshot for every error of a block that decodes bytes which may be anything."""
    try:
        yield
    except InvalidSnapshot:
        raise
    except (SafetensorError, StateError, IngestError, ServiceError, *_MALFORMED_ERRORS) as error:
        raise InvalidSnapshot(f"not a usable {what}: {str(error)[:500]}") from error


def encode(owner: str, text: str, tensors: Mapping[str, Tensor]) -> bytes:
    """Return safetensors bytes with `text` under the key `owner`. Takes long (megabytes)."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata={owner: text})


def decode_text(owner: str, data: bytes) -> str:
    """Return the text that `encode` stored (safetensors: u64 length, then a JSON header)."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    text: str = header["__metadata__"][owner]
    return text


def to_json(adapter: TypeAdapter[A], snapshot: A) -> str:
    """Return the JSON text that `from_json` reads."""
    return adapter.dump_json(snapshot, by_alias=True).decode()


def from_json(adapter: TypeAdapter[A], text: str) -> A:
    """Read a snapshot. Raises ValueError unless `to_json` could have written every field of it."""
    snapshot = adapter.validate_json(text)
    # compared because several fields have defaults, which would hide that a snapshot lacks them
    encoded = adapter.dump_python(snapshot, mode="json", by_alias=True)
    different = [key for key, value in json.loads(text).items() if encoded[key] != value]
    if different:
        raise ValueError(f"fields of {different} are missing or inexact; expected a snapshot as saved")
    return snapshot
