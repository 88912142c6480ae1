"""Settings from `SPIKEWATCH_*` variables or command-line options, with every limit of the service."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import DirectoryPath, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1 << 20

MAX_SECONDS = 7 * 86_400
"""Limit of all times: a longer one would not fit into TCP_USER_TIMEOUT, and infinity into no timer."""

Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]

ENV_PREFIX = "SPIKEWATCH_"

OTHER_VARIABLES = re.compile(
    r"SPIKEWATCH_(INSTRUCTION_SET|KERNEL_CACHE|KEY|URL|BIN|TEST_DATA|SCREENSHOTS|"
    r"SERVICE_(HOST|PORT\w*)|PORT_\d+_\w+)"
)
"""Variables of runtimes, clients and tests, and those that Kubernetes sets for a service of this name."""

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
"""Written with commas in the environment, not as JSON."""


class Settings(BaseSettings):
    """Settings of one process."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    allowed_hosts: CommaSeparated = Field(
        (), description="host names accepted in requests, without ports; none: any"
    )
    cors_origins: CommaSeparated = Field(
        (), description="origins whose pages may use the service, such as https://a.b"
    )
    api_keys_file: Path | None = Field(
        None, description="file with lines of `spikewatch key`; none: no key is required"
    )
    api_keys: SecretStr | None = Field(None, description="the same lines, in the environment")
    key_for_metrics: bool = Field(True, description="require a key at /metrics, if there are keys")
    key_for_viewer: bool = Field(
        False, description="require a key for the viewer page and /docs, if there are keys"
    )
    key_max_sessions: int = Field(8, ge=1, description="open sessions of one key")
    key_max_uploads: int = Field(4, ge=1, description="concurrent uploads of one key")
    key_max_bytes_per_s: int = Field(256 * MIB, ge=MIB, description="bytes a second sent with one key")
    weights: str | None = Field(
        None, description="safetensors file, name of bundled weights, or untrained; none: bundled"
    )
    models: CommaSeparated = Field(
        (),
        description="more weights that clients may request: names of bundled weights, untrained, NAME=FILE, "
        "or a folder of safetensors files, named as their files",
    )
    model_memory_bytes: int = Field(
        2048 * MIB, ge=MIB, description="limit for weights and membranes of all loaded models"
    )
    device: str = "cpu"
    runtime: str = Field("auto", description="auto, eager, fp32, int8x2, int8, compiled or half")
    instruction_set: Literal["auto", "avx512_vnni", "avx_vnni", "avx2", "neon_dotprod", "generic"] = Field(
        "auto", description="instructions that runtime compiled uses; auto: the fastest of the processor"
    )
    kernel_cache: str = Field(
        "", description="folder of compiled kernels; empty: in the user's cache; off: compile at each start"
    )
    state_dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="type of the membranes; bfloat16 halves their memory, for all runtimes but eager",
    )
    threads: int = Field(0, ge=0, description="compute threads; 0: one fewer than cores")
    max_sessions: int = Field(
        16, ge=1, le=1024, description="open sessions; each has a slot with its membranes"
    )
    max_batch: int = Field(8, ge=1, le=256, description="slices of different sessions in one batch")
    batch_wait_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of its own length that a slice waits for slices of other sessions; 0: no wait",
    )
    inbox_slices: int = Field(32, ge=1, description="slices queued in one session")
    memory_trim_interval_s: Seconds = Field(
        60.0, description="seconds between collections that return free memory to the system"
    )
    powercap_dir: Path = Field(
        Path("/sys/class/powercap"),
        description="the kernel's energy counters; in a container, where its mount of them lies",
    )
    outbox_windows: int = Field(256, ge=1, description="unread results of one session")
    idle_timeout_s: Seconds = Field(60.0, description="seconds without bytes until a session is closed")
    idle_warning_s: Seconds = Field(10.0, description="seconds before that when the client is warned")
    snapshot_dir: Path | None = Field(
        None, description="folder for snapshots of sessions; none: sessions are not saved"
    )
    snapshot_every_s: Seconds = Field(30.0, description="seconds between snapshots of a session that changes")
    snapshot_max_count: int = Field(64, ge=1, description="snapshots in the folder; at least max_sessions")
    snapshot_max_bytes: int = Field(8192 * MIB, ge=MIB, description="all snapshots together")
    max_message_bytes: int = Field(4 * MIB, ge=1024, description="one WebSocket message")
    max_body_bytes: int = Field(16 * MIB, ge=1024, description="one POST of events")
    max_snapshot_bytes: int = Field(
        512 * MIB,
        ge=1024,
        description="one saved state sent by a client; less if its session cannot be that large",
    )
    max_states: int = Field(4, ge=1, description="concurrent transfers of saved states")
    state_timeout_s: Seconds = Field(60.0, description="seconds for the transfer of a saved state")
    max_upload_bytes: int = Field(8192 * MIB, ge=1024, description="one recording to /v1/detections")
    jobs_max_count: int = Field(
        256, ge=1, description="running uploads, and ended uploads whose results are kept"
    )
    jobs_max_bytes: int = Field(256 * MIB, ge=1024, description="kept results of all ended uploads")
    jobs_keep_s: Seconds = Field(3600.0, description="seconds for which results of an ended upload are kept")
    max_spool_bytes: int = Field(
        16384 * MIB, ge=1024, description="all HDF5 and AEDAT4 uploads on disk together"
    )
    max_uploads: int = Field(16, ge=1, description="concurrent uploads")
    max_windows_per_post: int = Field(1000, ge=1, description="results of one POST of events")
    max_slices_per_post: int = Field(1000, ge=1, description="slices of one POST of events, blank ones too")
    max_slices_per_upload: int = Field(1_000_000, ge=1, description="slices of one upload, blank ones too")
    upload_threads: int = Field(2, ge=1, le=64, description="threads that spool and read all uploads")
    max_pending_result_bytes: int = Field(16 * MIB, ge=1024, description="unread results of one upload")
    sinks: CommaSeparated = Field(
        (),
        description="receivers of all results: mqtt://HOST/PREFIX, https://HOST/PATH, file:///PATH.ndjson",
    )
    sink_queue_windows: int = Field(1024, ge=1, description="results that wait for one sink in memory")
    sink_spool_dir: DirectoryPath | None = Field(
        None, description="folder for requests that a webhook has not accepted; none: in memory"
    )
    sink_spool_bytes: int = Field(64 * MIB, ge=1024, description="waiting requests of one webhook")
    webhook_secret: SecretStr | None = Field(
        None, description="key that signs requests to webhooks: whsec_ and base64, as in Standard Webhooks"
    )
    max_watchers: int = Field(16, ge=1, description="watchers of one session")
    max_connections: int = Field(1024, ge=1, description="open connections, with WebSockets")
    max_header_bytes: int = Field(32 * 1024, ge=1024, description="request line and headers")
    header_timeout_s: Seconds = Field(
        10.0, description="seconds until the headers of a request must be complete"
    )
    min_body_bytes_per_s: int = Field(
        1000, ge=1, description="minimum rate of a request body, after the first idle_timeout_s"
    )
    ping_timeout_s: Seconds = Field(
        20.0, description="seconds between WebSocket pings, and until a pong must arrive"
    )
    drain_timeout_s: float = Field(
        10.0, ge=0, le=MAX_SECONDS, description="seconds for open sessions to finish at shutdown"
    )
    pages: DirectoryPath | None = Field(
        None, description="folder of your own web pages, served at /pages on the origin of the service"
    )
    root_path: str = Field(
        "", pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="path prefix that a proxy removes, such as /camera"
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    log_json: bool = Field(True, description="one JSON object a line; else plain text")

    @field_validator("allowed_hosts", "cors_origins", "models", "sinks", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        """Split lists at commas."""
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[^/\s*]+", origin, re.IGNORECASE):
                raise ValueError(
                    f"invalid origin {origin!r}; expected scheme and host without a path, as https://example.org"
                )
        return tuple(origin.lower() for origin in value)

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def version(self) -> str:
        """Version of the installed distribution."""
        return installed_version("spikewatch")


def check_names(variables: Iterable[str]) -> None:
    """Check the names of environment variables; only those with our prefix matter.

    Raises:
        ValueError: one is not a setting. A misspelt limit, or file of keys, would be ignored silently.
    """
    known = [ENV_PREFIX + name.upper() for name in Settings.model_fields]
    for name in variables:
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known:
            if OTHER_VARIABLES.fullmatch(name.upper()):
                continue
            hint = get_close_matches(name.upper(), known, 1)
            advice = f"did you mean {hint[0]}?" if hint else "docs/service.md lists the settings"
            raise ValueError(f"{name} is not a setting; {advice} Unset it, or correct its name")
