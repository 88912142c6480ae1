"""The optional packages of the extra `export`, imported where they are needed."""

import importlib
import sys
from typing import Any

from spikewatch.model.errors import MissingExtraError

TELEMETRY_PACKAGE = "openvino_telemetry"


def require(name: str) -> Any:
    """The package `name` of the extra.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"exporting needs the package {error.name}, which is not installed; "
            "run: pip install 'spikewatch[export]'"
        ) from error


def require_openvino() -> Any:
    """OpenVINO, kept from reporting its import and every conversion to Intel.

    Where it cannot import the package openvino_telemetry it falls back on a stub that sends nothing.
    """
    modules: dict[str, Any] = sys.modules
    hidden = {name: modules.pop(name) for name in [TELEMETRY_PACKAGE] if name in modules}
    modules[TELEMETRY_PACKAGE] = None
    try:
        return require("openvino")
    finally:
        del modules[TELEMETRY_PACKAGE]
        modules.update(hidden)
