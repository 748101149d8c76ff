"""Configuration of a client: an argument wins over its environment variable, and that over the default."""

import base64
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from numbers import Integral, Real
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import unquote, urlsplit

from preheat_client._core.version import VERSION

if TYPE_CHECKING:
    import ssl  # takes a third of the time of importing the client

Mode = Literal["online", "offline", "disabled"]
Outage = Literal["hold", "raise"]

_PREFIX = "PREHEAT_"
_PATHS = ("snapshot_dir", "override_file", "ca_file", "unix_socket")
_OPTIONAL = {*_PATHS, "token", "proxy", "on_state_change"}
_KINDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("url", "token", "mode", "on_outage", "proxy"), (str, "a text")),
    **dict.fromkeys(_PATHS, (str, "a path")),
    **dict.fromkeys(("timeout_s", "start_timeout_s"), (Real, "a number of seconds")),
    "window": (Integral, "a whole number of LRs"),
    "strict": (bool, "True or False"),
    "headers": (Mapping, "a dict from names to values"),
    "on_state_change": (Callable, "a function of schedule and status"),
}
_ONE_LINE = re.compile(r"([^\0\s]+([ \t]+[^\0\s]+)*)?", re.ASCII)  # a header's value, as h11 takes it
_API = re.compile(r"/v1(/(runs|schedules)(/.*)?)?/?$")
"""The end of an address that was taken from a route."""
_CHOICES = {"mode": get_args(Mode), "on_outage": get_args(Outage)}


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "0": False, "false": False}[text.lower()]


def _headers(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.split(";") if line.strip())
    return {name.strip(): value.strip() for name, value in pairs}


@dataclass(frozen=True)
class Configuration:
    """Everything that can be configured: type, meaning, and how a variable's text is read (None: there is no variable).

    Raises TypeError or ValueError with name, value and rule.
    """

    url: Annotated[str, "Address of the service; required while `mode` is online.", str] = field(default="", repr=False)
    token: Annotated[str | None, "Sent as `Authorization: Bearer …`, for a proxy that asks for it.", str] = field(
        default=None, repr=False
    )
    mode: Annotated[
        Mode, "`online`; `offline`: no network, snapshots and plain specs; `disabled`: a constant passes through.", str
    ] = "online"
    timeout_s: Annotated[float, "Longest one request may take, and longest wait for a missing LR.", float] = 5.0
    start_timeout_s: Annotated[float, "Longest wait for the service at the start.", float] = 10.0
    snapshot_dir: Annotated[str | None, "Folder of snapshots; none are kept without one.", str] = None
    override_file: Annotated[
        str | None,
        "JSON file that, if it is there at the start, wins over everything: a fallback in the operator's hand. "
        "A run refuses it.",
        str,
    ] = None
    on_outage: Annotated[
        Outage,
        "When an LR never arrived: `hold` on to what is known (the spec, the fallback, the nearest LR), or `raise`.",
        str,
    ] = "hold"
    strict: Annotated[bool, "Raise past the end of the schedule instead of holding its last LR.", _flag] = False
    window: Annotated[int, "LRs fetched at a time; 16 such windows are kept in memory.", int] = 65_536
    proxy: Annotated[
        str | None, "Proxy for every request; by default HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY decide.", str
    ] = None
    ca_file: Annotated[str | None, "Certificate authorities to trust, in PEM form.", str] = None
    unix_socket: Annotated[str | None, "Socket file to connect to instead of the url's host.", str] = None
    headers: Annotated[Mapping[str, str], "Further headers: `Name: value; Other: value`.", _headers] = field(
        default_factory=dict, repr=False
    )
    ssl_context: Annotated["ssl.SSLContext | None", "TLS in every detail, client certificates included.", None] = None
    on_state_change: Annotated[
        Callable[[Any, Any], None] | None,
        "Called with schedule (or run) and status, once a change of state, on the client's own thread.",
        None,
    ] = None

    @property
    def address(self) -> str:
        """The url without what is secret in it."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def request_headers(self) -> dict[str, str]:
        """What is sent with every request; a name and a password in the url win over the token, as in httpx."""
        headers = {"accept-encoding": "identity", "user-agent": f"preheat-client/{VERSION}"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        headers |= {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            secret = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            headers["authorization"] = f"Basic {base64.b64encode(secret.encode()).decode()}"
        return headers

    def __post_init__(self) -> None:
        for name, (kinds, what) in _KINDS.items():
            value = getattr(self, name)
            is_absent = value is None and name in _OPTIONAL
            if not is_absent and (not isinstance(value, kinds) or (isinstance(value, bool) and name != "strict")):
                raise TypeError(f"{name} ({value!r:.80}) must be {what}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} ({getattr(self, name)!r}) must be one of {', '.join(allowed)}")
        for name in ("timeout_s", "start_timeout_s"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"{name} ({value}) must be > 0 and finite")
        if self.window < 1:
            raise ValueError(f"window ({self.window}) must be ≥ 1")
        self._check_url()
        self._check_headers()

    def _check_url(self) -> None:
        if self.mode == "online" and not self.url:
            raise ValueError("url is required: give it, or set PREHEAT_URL")
        parts = urlsplit(self.url)
        if self.url and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError(f"url ({self.url!r}) must start with http:// or https://, and name a host")
        if match := _API.search(parts.path):
            rule = f"must be the service's address, without {match[0]}: the client adds the rest"
            raise ValueError(f"url ({self.address!r}) {rule}")

    def _check_headers(self) -> None:
        """Here, since the HTTP library's own refusal shows the value, which may be a secret."""
        values: dict[str, Any] = {"token": self.token or ""}
        for name, value in self.headers.items():
            if not isinstance(name, str):
                raise TypeError(f"a name ({name!r:.80}) in headers must be a text")
            values[f"headers[{name!r:.80}]"] = value
        for name, value in values.items():
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a text, not {type(value).__name__}")
            if not _ONE_LINE.fullmatch(value):
                raise ValueError(f"{name} must be one line, without space around it")


def configured(arguments: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration of the arguments, and of the environment for those that are not given.

    Raises TypeError for an argument of another type, ValueError for a value that is out of bounds, or cannot be read;
    they name argument or variable.
    """
    values = {name: _builtin(value) for name, value in arguments.items()}
    for name, _, read in _options():
        variable = _PREFIX + name.upper()
        if name not in values and read is not None and environ.get(variable):
            values[name] = _read(variable, environ[variable], read)
    return Configuration(**values)


def configuration_rows() -> list[tuple[str, str, str, str]]:
    """Argument, environment variable, default and meaning of everything that can be configured."""
    defaults = {option.name: option.default for option in fields(Configuration)}
    return [
        (
            name,
            _PREFIX + name.upper() if read else "",
            "" if defaults[name] in (None, "", MISSING) else str(defaults[name]),
            about,
        )
        for name, about, read in _options()
    ]


def _builtin(value: Any) -> Any:
    """A path or a number of another library as Python's own: a float32 would round clocks, and JSON has no int64."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _options() -> Iterator[tuple[str, str, Callable[[str], Any] | None]]:
    for name, annotation in Configuration.__annotations__.items():
        about, read = annotation.__metadata__
        yield name, about, read


def _read(variable: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{variable} ({text!r}) cannot be read as {read.__name__.strip('_')}") from error
