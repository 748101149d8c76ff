"""Connection to a service: where it is and how it is reached, by the client's variables."""

import re
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from preheat import __version__
from preheat.cli.runs.answers import ServiceError

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_API = re.compile(r"/v1(/(runs|schedules)(/.*)?)?/?$")
"""The end of an address that was taken from a route; the client, which needs no service, has the same rule."""

_ONE_LINE = re.compile(r"([!-~]+([ \t]+[!-~]+)*)?")


class Connection(BaseSettings):
    """Where the service is and how it is reached, by the variables that the client has, and what sends requests."""

    model_config = SettingsConfigDict(
        env_prefix="PREHEAT_", frozen=True, env_ignore_empty=True, hide_input_in_errors=True
    )

    url: str = Field("http://127.0.0.1:8000", repr=False)
    token: SecretStr | None = None
    timeout_s: float = Field(30.0, gt=0, le=3600)
    proxy: str | None = None
    ca_file: str | None = None
    unix_socket: str | None = None
    headers: str = Field("", repr=False)

    @property
    def address(self) -> str:
        """The url without a name and a password in it."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def client(self) -> "httpx.Client":
        """What sends requests. Raises ServiceError where it cannot be made of the settings."""
        import httpx  # noqa: PLC0415

        client: httpx.Client = self._made(httpx.Client, httpx.HTTPTransport)
        return client

    def async_client(self) -> "httpx.AsyncClient":
        """The same on an event loop."""
        import httpx  # noqa: PLC0415

        client: httpx.AsyncClient = self._made(httpx.AsyncClient, httpx.AsyncHTTPTransport)
        return client

    def _made(self, kind: Any, transport: Any) -> Any:
        import httpx  # noqa: PLC0415

        options = self._options()
        if self.unix_socket is not None:
            options["transport"] = transport(uds=self.unix_socket)
        try:
            return kind(**options)
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise ServiceError(f"PREHEAT_URL or PREHEAT_PROXY cannot be used: {error}", exit_code=2) from error

    def _options(self) -> dict[str, Any]:
        # Nothing of these is shown where it is wrong: there may be a password in it.
        if not _is_address(self.url):
            raise ServiceError("--url or PREHEAT_URL must start with http:// or https://, and name a host", exit_code=2)
        if match := _API.search(urlsplit(self.url).path):
            rule = f"must be the service's address, without {match[0]}: the command adds the rest"
            raise ServiceError(f"--url or PREHEAT_URL ({self.address}) {rule}", exit_code=2)
        headers = {"user-agent": f"preheat/{__version__}", **_pairs(self.headers)}
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token.get_secret_value()}"
        for name, value in headers.items():
            if not _ONE_LINE.fullmatch(value):
                variable = "PREHEAT_TOKEN" if name == "authorization" else f"{name} in PREHEAT_HEADERS"
                raise ServiceError(f"{variable} must be one line of ASCII, without space around it", exit_code=2)
        return {
            "base_url": self.url,
            "headers": headers,
            "timeout": self.timeout_s,
            "proxy": self.proxy,
            "verify": self._trusted(),
        }

    def _trusted(self) -> Any:
        if self.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ServiceError(f"PREHEAT_CA_FILE ({self.ca_file}) cannot be read: {error}", exit_code=2) from error


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def _pairs(text: str) -> dict[str, str]:
    """`Name: value; Other: value` as a dict. Raises ServiceError."""
    pairs = [line.partition(":") for line in text.split(";") if line.strip()]
    if not all(colon and _NAME.fullmatch(name.strip()) for name, colon, _ in pairs):
        raise ServiceError("PREHEAT_HEADERS must be `Name: value; Other: value`", exit_code=2)
    return {name.strip(): value.strip() for name, _, value in pairs}
