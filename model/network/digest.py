"""Digest of weights."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def digest_tensors(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the first 16 hex digits of the SHA-256 over all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()[:16]
