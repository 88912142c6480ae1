"""Settings, from `SPIKEWATCH_*` variables or command-line options. Every limit of the service is here."""

import re
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import DirectoryPath, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1 << 20

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
"""In the environment with commas, not as JSON."""


class Settings(BaseSettings):
    """Limits and choices of one process."""

    model_config = SettingsConfigDict(env_prefix="SPIKEWATCH_", extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    allowed_hosts: CommaSeparated = Field(
        (), description="names the service is known by, without ports; none: any"
    )
    cors_origins: CommaSeparated = Field(
        (), description="origins whose pages may use the service, such as https://a.b"
    )
    api_keys_file: Path | None = Field(
        None, description="lines of `spikewatch key`; none: no key is asked for"
    )
    api_keys: SecretStr | None = Field(None, description="the same lines, in the environment")
    key_for_metrics: bool = Field(True, description="where there are keys, ask for one at /metrics")
    key_for_viewer: bool = Field(False, description="the same for the viewer's page and /docs")
    key_max_sessions: int = Field(8, ge=1, description="sessions of one key")
    key_max_uploads: int = Field(4, ge=1, description="recordings uploaded at once with one key")
    key_max_bytes_per_s: int = Field(256 * MIB, ge=MIB, description="bytes sent with one key")
    weights: str | None = Field(
        None, description="safetensors file, name of shipped weights, or untrained; none: shipped"
    )
    models: CommaSeparated = Field(
        (),
        description="weights that clients may ask for besides: names of shipped ones, untrained, NAME=FILE, "
        "or a folder of safetensors files, which are then known by their names",
    )
    model_memory_bytes: int = Field(
        2048 * MIB, ge=MIB, description="weights and membranes of all models that are loaded"
    )
    device: str = "cpu"
    runtime: str = Field("auto", description="auto, eager, fp32, int8x2, int8 or half")
    state_dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="of the membranes; bfloat16 takes half the memory, and a runtime but eager"
    )
    threads: int = Field(0, ge=0, description="compute threads; 0: one fewer than there are cores")
    max_sessions: int = Field(16, ge=1, le=1024, description="slots; each holds one membrane state")
    max_batch: int = Field(8, ge=1, le=256, description="slices of different sessions run together")
    batch_wait_share: float = Field(
        0.1, ge=0, le=1, description="share of its length that a slice waits for those of other sessions"
    )
    inbox_slices: int = Field(32, ge=1, description="slices waiting in one session")
    memory_trim_interval_s: float = Field(
        60.0, gt=0, description="how often free memory goes back to the system"
    )
    outbox_windows: int = Field(256, ge=1, description="results waiting for one client to read")
    idle_timeout_s: float = Field(60.0, gt=0, description="a session without bytes for this long is closed")
    idle_warning_s: float = Field(10.0, gt=0, description="how long before that its client is warned")
    snapshot_dir: Path | None = Field(None, description="where sessions are saved; none: they are not")
    snapshot_every_s: float = Field(30.0, gt=0, description="how often a session that changes is saved")
    snapshot_max_count: int = Field(64, ge=1, description="saved sessions; at least max_sessions")
    snapshot_max_bytes: int = Field(8192 * MIB, ge=MIB, description="all saved sessions together")
    max_message_bytes: int = Field(4 * MIB, ge=1024, description="one WebSocket message")
    max_body_bytes: int = Field(16 * MIB, ge=1024, description="one POST of events")
    max_snapshot_bytes: int = Field(
        512 * MIB, ge=1024, description="one saved state that is sent, if its session could fill so many"
    )
    max_states: int = Field(4, ge=1, description="saved states that are fetched and sent at once")
    state_timeout_s: float = Field(60.0, gt=0, description="time to fetch or send a saved state")
    max_upload_bytes: int = Field(8192 * MIB, ge=1024, description="one recording to /v1/detections")
    jobs_max_count: int = Field(256, ge=1, description="uploads under way, and those whose results are kept")
    jobs_max_bytes: int = Field(256 * MIB, ge=1024, description="results kept of all uploads that ended")
    jobs_keep_s: float = Field(3600.0, gt=0, description="how long the results of an upload are kept")
    max_spool_bytes: int = Field(
        16384 * MIB, ge=1024, description="HDF5 and AEDAT4 uploads on disk, all together"
    )
    max_uploads: int = Field(16, ge=1, description="recordings uploaded at once")
    max_windows_per_post: int = Field(1000, ge=1, description="results of one POST of events")
    max_pending_result_bytes: int = Field(16 * MIB, ge=1024, description="results an uploader has not read")
    max_watchers: int = Field(16, ge=1, description="onlookers of one session")
    max_connections: int = Field(1024, ge=1, description="open connections, WebSockets among them")
    max_header_bytes: int = Field(32 * 1024, ge=1024, description="request line and headers")
    header_timeout_s: float = Field(10.0, gt=0, description="time for the headers of a request to come")
    min_body_bytes_per_s: int = Field(
        1000, ge=1, description="slowest body, after a first idle_timeout_s of patience"
    )
    ping_timeout_s: float = Field(20.0, gt=0, description="between WebSocket pings, and for their answers")
    drain_timeout_s: float = Field(10.0, ge=0, description="time for open sessions when the service stops")
    pages: DirectoryPath | None = Field(
        None, description="folder of your own web pages, served at /pages: browsers let them talk to us there"
    )
    log_level: str = "info"
    log_json: bool = Field(True, description="one JSON object a line; else plain text")

    @field_validator("allowed_hosts", "cors_origins", "models", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        """Lists are written with commas."""
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not re.fullmatch(r"https?://[^/\s*]+", origin):
                raise ValueError(
                    f"{origin!r} is no origin; expected such as https://example.org, without a path"
                )
        return value

    @property
    def version(self) -> str:
        """Version of the installed distribution."""
        return installed_version("spikewatch")
