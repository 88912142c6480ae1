"""Optional packages of the extra `export`, imported on first use."""

import importlib
import sys
from typing import Any

from spikewatch.model.errors import MissingExtraError

TELEMETRY_PACKAGE = "openvino_telemetry"


def require(name: str) -> Any:
    """Import the package `name` of the extra.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"exporting needs the package {error.name}, which is not installed; "
            "run: pip install 'spikewatch[export]'"
        ) from error


def require_openvino() -> Any:
    """Import OpenVINO with its telemetry disabled.

    Telemetry would report the import and every conversion to Intel. If OpenVINO cannot import
    openvino_telemetry, it uses a stub that sends nothing.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    modules: dict[str, Any] = sys.modules
    hidden = {name: modules.pop(name) for name in [TELEMETRY_PACKAGE] if name in modules}
    modules[TELEMETRY_PACKAGE] = None
    try:
        return require("openvino")
    finally:
        del modules[TELEMETRY_PACKAGE]
        modules.update(hidden)
