"""Everything an operator can set, by environment variable (`PREHEAT_` and the field's name in capitals)."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_PREFIX = "PREHEAT_"
_OF_KUBERNETES = re.compile(r"PREHEAT_(SERVICE_(HOST|PORT(_.+)?)|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)")
"""What Kubernetes sets in every pod beside a Service of the name `preheat` (its documentation: Service, discovery)."""

_OF_THE_CLIENT = {
    "URL", "TOKEN", "MODE", "TIMEOUT_S", "START_TIMEOUT_S", "SNAPSHOT_DIR", "OVERRIDE_FILE", "ON_OUTAGE", "STRICT",
    "WINDOW", "PROXY", "CA_FILE", "UNIX_SOCKET", "HEADERS",
}  # fmt: skip


def _default_database_url() -> str:
    return f"sqlite:///{Path(platformdirs.user_data_dir('preheat')) / 'preheat.db'}"


class Settings(BaseSettings):
    """The service's settings."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer requests.")
    database_url: str = Field(
        default_factory=_default_database_url,
        description="Where schedules are kept: sqlite:///FILE (by default in the user's data folder), "
        "sqlite:///:memory: to forget them at the end, or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
    )
    database_timeout_s: float = Field(
        5.0, gt=0, description="How long to wait for the database: for another writer, a lock or a connection."
    )
    compute_timeout_s: float = Field(
        20.0, gt=0, description="How long one request may compute; what does not stop then is killed a little later."
    )
    compute_workers: int = Field(
        2,
        ge=0,
        le=256,
        description="Processes that compute, for each of `workers`; 0 computes in threads, as a database in memory "
        "does, where nothing can be killed and memory has no limit.",
    )
    compute_memory_bytes: int = Field(
        1_000_000_000,
        ge=50_000_000,
        description="Memory that each computing process may take beyond what it starts with, its caches included.",
    )
    compute_queue: int = Field(32, ge=0, le=10_000, description="Most requests that wait for a computing process.")
    compute_wait_s: float = Field(10.0, gt=0, description="How long a request may wait for a computing process.")
    body_timeout_s: float = Field(30.0, gt=0, description="How long a request body may take to arrive.")
    shutdown_timeout_s: int = Field(
        10, ge=1, description="How long requests in flight may take after SIGTERM, before their connections are cut."
    )
    max_body_bytes: int = Field(2_000_000, ge=1, description="Largest request body.")
    max_values_per_answer: int = Field(2_000_000, ge=1, description="Most values in one answer: rows × columns.")
    max_total_iterations: int = Field(
        1_000_000_000_000, ge=1, description="Longest run of a scheduler with a closed form."
    )
    max_total_iterations_stepped: int = Field(
        10_000_000, ge=1, description="Longest run of a scheduler that must be stepped."
    )
    max_width_px: int = Field(4000, ge=320, description="Widest picture.")
    max_height_px: int = Field(4000, ge=200, description="Highest picture.")
    curve_cache_bytes: int = Field(256_000_000, ge=0, description="Memory for curves, per worker.")
    picture_cache_bytes: int = Field(64_000_000, ge=0, description="Memory for pictures, per worker.")

    @field_validator("port", mode="before")
    @classmethod
    def _without_the_address_of_a_service(cls, value: object) -> object:
        # Kubernetes sets PREHEAT_PORT=tcp://10.96.0.10:8000 beside a Service named preheat: nobody's choice of a port.
        is_address = isinstance(value, str) and value.startswith(("tcp://", "udp://"))
        return cls.model_fields["port"].default if is_address else value


def unknown_variables(names: Iterable[str]) -> list[str]:
    """What is wrong with each environment variable that begins as a setting does and is none, with the nearest one."""
    known = {*(name.upper() for name in Settings.model_fields), *_OF_THE_CLIENT}
    messages = []
    for name in sorted(names):
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in known and not _OF_KUBERNETES.fullmatch(name):
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), known, 1)
            messages.append(f"{name} is no setting" + (f"; did you mean {_PREFIX}{near[0]}?" if near else ""))
    return messages
