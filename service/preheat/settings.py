"""Everything an operator can set, by environment variable (`PREHEAT_` and the field's name in capitals)."""

import difflib
import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import AfterValidator, BeforeValidator, DirectoryPath, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_PREFIX = "PREHEAT_"
_OF_KUBERNETES = re.compile(r"PREHEAT_(SERVICE_(HOST|PORT(_.+)?)|PORT|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)")
"""What Kubernetes sets in every pod beside a Service of the name `preheat` (its documentation: Service, discovery)."""

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")  # as browsers write them: in lower case
_HOST_NAME = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_PATH_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_OWN_PATHS = (["v1"], ["docs"])

_OF_THE_CLIENT = {
    "URL", "TOKEN", "MODE", "TIMEOUT_S", "START_TIMEOUT_S", "SNAPSHOT_DIR", "OVERRIDE_FILE", "ON_OUTAGE", "STRICT",
    "WINDOW", "PROXY", "CA_FILE", "UNIX_SOCKET", "HEADERS",
}  # fmt: skip


def _as_browsers_write_it(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("must be an origin such as https://wiki.example.org, in lower case and without a path")
    return origin


def _without_brackets(host: str) -> str:
    # As an IPv6 address is written where a port follows (RFC 3986 §3.2.2).
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _a_host_name(name: str) -> str:
    if not _HOST_NAME.fullmatch(name):
        raise ValueError("must be a name such as preheat.example.org, in lower case and without a port")
    return name


# Bounds far beyond what makes sense, so that no system call and no thread gets a number that it cannot take, and no
# timer comes back at once.
_Seconds = Annotated[float, Field(ge=0.01, le=86_400)]
_Memory = Annotated[int, Field(le=10**13)]
_HostName = Annotated[str, AfterValidator(_a_host_name)]
_Origin = Annotated[str, AfterValidator(_as_browsers_write_it)]
# Pydantic alone would say why it is neither an IPv4 nor an IPv6 network.
_Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(ip_network)]


def _default_database_url() -> str:
    return f"sqlite:///{Path(platformdirs.user_data_dir('preheat')) / 'preheat.db'}"


class Settings(BaseSettings):
    """The service's settings."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True)

    host: Annotated[str, AfterValidator(_without_brackets)] = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer requests.")
    database_url_file: Path | None = Field(
        None, description="A file with the database_url, which is taken in its place, as secrets are mounted."
    )
    database_url: str = Field(
        default_factory=_default_database_url,
        validate_default=True,
        repr=False,  # it may have a password
        description="Where schedules are kept: sqlite:///FILE (by default in the user's data folder), "
        "sqlite:///:memory: to forget them at the end, or postgresql+psycopg://USER:PASSWORD@HOST/NAME.",
    )
    database_timeout_s: _Seconds = Field(
        5.0, description="How long to wait for the database: for another writer, a lock or a connection."
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="After how many days without use a schedule is removed; by default none is. "
        "Only days that the service runs count. The same for every service on a database.",
    )
    without_keys: bool = Field(
        False, description="Answer everybody, on any address, without asking for a key; warns at every start."
    )
    first_key: SecretStr | None = Field(
        None, description="A key of your choice with every scope, beside those that `preheat keys make` makes."
    )
    first_key_file: Path | None = Field(
        None, description="A file with that key, as Kubernetes and compose mount secrets."
    )
    allowed_hosts: Annotated[tuple[_HostName, ...], NoDecode] = Field(
        (),
        description="Names, separated by commas, under which a service without keys answers, beside localhost and "
        "loopback addresses: what a proxy on the same machine sends as Host.",
    )
    metrics_need_key: bool = Field(
        False, description="Ask for a key with the scope `read` at /metrics too, which otherwise anybody may read."
    )
    rate_limit_per_s: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Requests a second of each key (without keys, of each address), per worker; 0: any.",
    )
    rate_limit_burst: int = Field(
        100, ge=1, le=1_000_000, description="Requests that may come at once before that limit holds them up."
    )
    cors_origins: Annotated[tuple[_Origin, ...], NoDecode] = Field(
        (),
        description="Origins, separated by commas, whose pages a browser lets use this service: https://wiki.example.org.",
    )
    compute_timeout_s: _Seconds = Field(
        20.0, description="How long one request may compute; what does not stop then is killed a little later."
    )
    compute_workers: int = Field(
        2,
        ge=0,
        le=256,
        description="Processes that compute, for each of `workers`; 0 computes in threads, as a database in memory "
        "does, where nothing can be killed and memory has no limit.",
    )
    compute_memory_bytes: _Memory = Field(
        1_000_000_000,
        ge=50_000_000,
        description="Memory that each computing process may take beyond what it starts with, its caches included.",
    )
    compute_queue: int = Field(
        128,
        ge=0,
        le=10_000,
        description="Most requests that wait for a computing process, in memory with bodies of max_body_bytes at most.",
    )
    compute_wait_s: _Seconds = Field(10.0, description="How long a request may wait for a computing process.")
    shutdown_delay_s: float = Field(
        0.0,
        ge=0,
        le=3600,
        description="How long to accept requests after SIGTERM, while /readyz says 503 to load balancers.",
    )
    shutdown_timeout_s: int = Field(
        10,
        ge=1,
        le=86_400,
        description="How long requests in flight may take after SIGTERM, before their connections are cut.",
    )
    worker_timeout_s: _Seconds = Field(
        30.0, ge=1, description="How long one of several workers may not react before it is killed and replaced."
    )
    root_path: str = Field(
        "", description="Path prefix under which a proxy shows the service, say /preheat; it may be stripped or not."
    )
    trusted_proxies: Annotated[tuple[_Network, ...], NoDecode] = Field(
        (),
        description="Addresses and networks, separated by commas, of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed; empty: nobody's.",
    )
    max_connections: int = Field(
        1000,
        ge=1,
        le=1_000_000_000,
        description="Connections per worker; then the one that has been silent longest makes room, or, if all wait for "
        "answers, requests other than probes get 503.",
    )
    max_watchers: int | None = Field(
        None,
        ge=0,
        le=500_000_000,
        description="Connections per worker that may follow events of runs as they happen, by default half of "
        "max_connections: the others are for jobs.",
    )
    max_target_bytes: int = Field(32_768, ge=64, le=1_000_000, description="Longest path and query of a request.")
    max_head_bytes: int = Field(
        65_536,
        ge=1024,
        le=10_000_000,
        description="Largest request line with headers; also what may stand between parts of a body.",
    )
    max_headers: int = Field(100, ge=8, le=100_000, description="Most headers of a request.")
    max_pipelined_requests: int = Field(
        32, ge=1, le=100_000, description="Requests on one connection that may wait for the answer to an earlier one."
    )
    head_timeout_s: _Seconds = Field(10.0, description="How long a request's head may take to arrive.")
    body_timeout_s: _Seconds = Field(60.0, description="How long a request's body may take to arrive.")
    keep_alive_timeout_s: _Seconds = Field(65.0, description="How long a connection is kept without a request.")
    send_timeout_s: _Seconds = Field(
        30.0, description="How long a client may take to read 64 KiB of an answer, or what is left of it."
    )
    max_unsent_bytes: _Memory = Field(
        256_000_000,
        ge=1,
        description="Memory, per worker, for answers that clients are slow to read; then the slowest is cut.",
    )
    max_arriving_bytes: _Memory = Field(
        64_000_000,
        ge=1,
        description="Memory, per worker, for request bodies that are still arriving; then the one that has taken most "
        "for longest is refused.",
    )
    max_body_bytes: int = Field(2_000_000, ge=1, le=1_000_000_000, description="Largest request body.")
    max_values_per_answer: int = Field(
        2_000_000, ge=1, le=1_000_000_000, description="Most values in one answer: rows × columns."
    )
    max_total_iterations: int = Field(
        1_000_000_000_000, ge=1, le=2**53, description="Longest run of a scheduler with a closed form."
    )
    max_total_iterations_stepped: int = Field(
        10_000_000, ge=1, le=2**53, description="Longest run of a scheduler that must be stepped."
    )
    max_width_px: int = Field(4000, ge=320, le=100_000, description="Widest picture.")
    max_height_px: int = Field(4000, ge=200, le=100_000, description="Highest picture.")
    curve_cache_bytes: _Memory = Field(256_000_000, ge=0, description="Memory for curves, per worker.")
    picture_cache_bytes: _Memory = Field(64_000_000, ge=0, description="Memory for pictures, per worker.")

    run_lease_s: float = Field(
        5.0, ge=0.01, le=3600, description="How far ahead LRs are handed out to a live run; so long its changes wait."
    )
    run_lease_all_s: float = Field(
        60.0, ge=0.01, le=86_400, description="The same where every rank asks for itself: so long it can do without us."
    )
    run_stalled_after_s: _Seconds = Field(
        300.0, description="When a job that is heard of and does not move counts as stalled."
    )
    max_window_iterations: int = Field(
        4096, ge=2, le=1_000_000, description="Most iterations that are handed out past the one that a job has come to."
    )
    max_changes_per_run: int = Field(2_000, ge=1, le=2_000, description="Most changes of a run.")
    max_attempts_per_run: int = Field(10_000, ge=1, le=10_000, description="Most restarts of a run's job.")
    max_controllers_per_run: int = Field(10, ge=0, le=100, description="Most controllers of a run.")
    max_events_per_run: int = Field(
        100_000, ge=100, le=100_000_000, description="Events of a run that are kept, the newest."
    )
    max_reports_per_run: int = Field(
        5_000_000,
        ge=0,
        le=10**12,
        description="Reported values of a run that are kept, beside those that a controller follows.",
    )
    max_followed_reports_per_run: int = Field(
        5_000_000,
        ge=0,
        le=10**12,
        description="And beyond them, of those that a controller follows; it stops where these are full.",
    )
    automated_changes_per_thousand: int = Field(
        10, ge=0, le=1000, description="Most changes of a run by one program within a thousand iterations."
    )

    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Format of log lines on stderr; auto is text on a terminal and JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of what is logged: info has a line for each request, warning for each 4xx."
    )
    log_points: bool = Field(False, description="Whether point lookups have a log line each.")
    metrics_dir: DirectoryPath | None = Field(
        None,
        description="Folder in which several workers share their metrics; `preheat serve` makes one and removes it.",
    )

    @field_validator("database_url", mode="before")
    @classmethod
    def _from_its_file(cls, value: object, info: ValidationInfo) -> object:
        file = info.data.get("database_url_file")
        return value if file is None else text_of_file("database_url_file", file)

    @field_validator("port", mode="before")
    @classmethod
    def _without_the_address_of_a_service(cls, value: object) -> object:
        # Kubernetes sets PREHEAT_PORT=tcp://10.96.0.10:8000 beside a Service named preheat: nobody's choice of a port.
        is_address = isinstance(value, str) and value.startswith(("tcp://", "udp://"))
        return cls.model_fields["port"].default if is_address else value

    @field_validator("metrics_need_key")
    @classmethod
    def _where_keys_are_asked_for(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("without_keys"):
            raise ValueError("must not be set beside without_keys, which asks for no key anywhere")
        return value

    @field_validator("max_watchers")
    @classmethod
    def _beside_jobs(cls, value: int | None, info: ValidationInfo) -> int | None:
        connections = info.data.get("max_connections")
        if value is not None and connections is not None and value >= connections:
            raise ValueError(f"must be less than max_connections ({connections}), which jobs need too")
        return value

    @property
    def most_watchers(self) -> int:
        """`max_watchers`, or what it is by default."""
        return self.max_connections // 2 if self.max_watchers is None else self.max_watchers

    @field_validator("cors_origins", "trusted_proxies", "allowed_hosts", mode="before")
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("root_path")
    @classmethod
    def _a_prefix(cls, value: str) -> str:
        prefix = value.rstrip("/")
        if prefix and not _PATH_PREFIX.fullmatch(prefix):
            raise ValueError("must be a path such as /tools/preheat: letters, digits and - . _ ~ between slashes")
        if prefix.split("/")[1:2] in _OWN_PATHS:  # it could not be told whether a proxy has stripped it
            raise ValueError("must not begin as the service's own paths do (/v1, /docs)")
        return prefix


def text_of_file(setting: str, file: Path) -> str:
    """What a file that a setting names has in it, without space around. Raises ValueError, which does not show it."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it must be UTF-8"
        raise ValueError(f"{setting} ({file}) cannot be read: {reason}") from None
    if not text:
        raise ValueError(f"{setting} ({file}) must not be empty")
    return text


def unknown_variables(names: Iterable[str]) -> list[str]:
    """What is wrong with each environment variable that begins as a setting does and is none, with the nearest one."""
    known = {*(name.upper() for name in Settings.model_fields), *_OF_THE_CLIENT}
    messages = []
    for name in sorted(names):
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in known and not _OF_KUBERNETES.fullmatch(name):
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), known, 1)
            messages.append(f"{name} is no setting" + (f"; did you mean {_PREFIX}{near[0]}?" if near else ""))
    return messages
