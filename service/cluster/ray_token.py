"""The token of Ray. Ray runs any code that it is sent, so it must reject processes without the token."""

import os
import secrets
from pathlib import Path

TOKEN_FILE = ".token"


def use_token(folder: Path) -> None:
    """Let Ray use the token in a folder, which is made if needed. Call it before Ray is imported.

    Raises:
        OSError: the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.absolute() / TOKEN_FILE
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(path),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    }
