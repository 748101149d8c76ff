"""How a client is configured: an argument wins over its environment variable, and that over the default."""

import math
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal
from urllib.parse import urlsplit

Mode = Literal["online", "offline", "disabled"]
Outage = Literal["hold", "raise"]

_PREFIX = "PREHEAT_"


def _variable(about: str, read: Callable[[str], Any] | None = str) -> dict[str, Any]:
    """What is said of a value, and how a text of the environment becomes one; None: it can only be an argument."""
    return {"about": about, "read": read}


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "0": False, "false": False}[text.lower()]


def _headers(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.split(";") if line.strip())
    return {name.strip(): value.strip() for name, value in pairs}


@dataclass(frozen=True)
class Configuration:
    """Everything that can be said of a client. Raises ValueError with name, value and rule."""

    url: str = field(
        default="", repr=False, metadata=_variable("Address of the service; required while `mode` is online.")
    )
    token: str | None = field(
        default=None, repr=False, metadata=_variable("Sent as `Authorization: Bearer …`, for a proxy that asks for it.")
    )
    mode: Mode = field(
        default="online",
        metadata=_variable("`online`; `offline`: snapshots only, no network; `disabled`: a constant passes through."),
    )
    timeout_s: float = field(
        default=5.0, metadata=_variable("Longest one request may take, and longest wait for a missing LR.", float)
    )
    start_timeout_s: float = field(
        default=10.0, metadata=_variable("Longest wait for the service at the start.", float)
    )
    snapshot_dir: str | None = field(
        default=None, metadata=_variable("Folder of snapshots; none are kept without one.")
    )
    override_file: str | None = field(
        default=None,
        metadata=_variable(
            "JSON file that, if it is there at the start, wins over everything: a fallback in the operator's hand."
        ),
    )
    on_outage: Outage = field(
        default="hold", metadata=_variable("When an LR never arrived: `hold` the last known one, or `raise`.")
    )
    strict: bool = field(
        default=False, metadata=_variable("Raise past the end of the schedule instead of holding its last LR.", _flag)
    )
    window: int = field(
        default=65_536, metadata=_variable("LRs fetched at a time; 16 such windows are kept in memory.", int)
    )
    proxy: str | None = field(
        default=None,
        metadata=_variable(
            "Proxy for every request; by default HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY decide."
        ),
    )
    ca_file: str | None = field(default=None, metadata=_variable("Certificate authorities to trust, in PEM form."))
    unix_socket: str | None = field(
        default=None, metadata=_variable("Socket file to connect to instead of the url's host.")
    )
    headers: Mapping[str, str] = field(
        default_factory=dict, repr=False, metadata=_variable("Further headers: `Name: value; Other: value`.", _headers)
    )
    ssl_context: ssl.SSLContext | None = field(
        default=None, metadata=_variable("TLS in every detail, client certificates included.", None)
    )
    on_state_change: Callable[[Any, Any], None] | None = field(
        default=None,
        metadata=_variable(
            "Called with schedule and status, once a change of state, on the client's own thread.", None
        ),
    )

    @property
    def address(self) -> str:
        """The url without what is secret in it."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, "online", "offline", "disabled")
        _one_of("on_outage", self.on_outage, "hold", "raise")
        for name in ("timeout_s", "start_timeout_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} ({value}) must be > 0 and finite")
        if self.window < 1:
            raise ValueError(f"window ({self.window}) must be ≥ 1")
        if self.mode == "online" or self.url:
            self._check_url()

    def _check_url(self) -> None:
        if not self.url:
            raise ValueError("url is required: give it, or set PREHEAT_URL")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url ({self.url!r}) must start with http:// or https://, and name a host")


def configured(arguments: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration of the arguments that are not None, and of the environment for the others.

    Raises ValueError for a value that is out of bounds, or cannot be read; it names argument or variable.
    """
    values = {name: value for name, value in arguments.items() if value is not None}
    for each in fields(Configuration):
        variable = _PREFIX + each.name.upper()
        if each.name not in values and each.metadata["read"] is not None and environ.get(variable):
            values[each.name] = _read(variable, environ[variable], each.metadata["read"])
    return Configuration(**values)


def configuration_rows() -> list[tuple[str, str, str, str]]:
    """Argument, environment variable, default and meaning of everything that can be configured."""
    return [
        (
            each.name,
            _PREFIX + each.name.upper() if each.metadata["read"] else "",
            "" if each.default in (None, "", MISSING) else str(each.default),
            each.metadata["about"],
        )
        for each in fields(Configuration)
    ]


def _read(variable: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{variable} ({text!r}) cannot be read as {read.__name__.strip('_')}") from error


def _one_of(name: str, value: object, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} ({value!r}) must be one of {', '.join(allowed)}")
