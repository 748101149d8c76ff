"""Service: the requests of `preheat runs` over HTTP, lost answers, and problem documents as messages."""

import functools
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import orjson
import typer
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from preheat import __version__
from preheat.cli.arguments import Command, parameter, valid, with_parameters
from preheat.cli.output import ERR, print_error

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_WAITS_S = (0.3, 1.0, 3.0)
"""How long to wait before asking again, after each answer that was lost."""

_LONGEST_WAIT_S = 10.0
_GATEWAY = frozenset({502, 504})
_SERVER_ERROR = 500
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ONE_LINE = re.compile(r"([!-~]+([ \t]+[!-~]+)*)?")
_ADVICE = {
    "confirmation-required": "--confirm does it, if it is meant",
    "run-locked": "`preheat runs unlock RUN` opens it",
    "rollback-pending": "`preheat runs withdraw RUN` takes the restart back",
    "run-alive": "`preheat runs finish RUN` ends it",
    "keys-missing": "--url names another service",
    "key-refused": "it was taken from PREHEAT_TOKEN",
}
"""What to do about a kind of problem on the command line."""


class ServiceSettings(BaseSettings):
    """Where the service is and how it is reached, by the variables that the client has too."""

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
        import ssl  # noqa: PLC0415

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


class ServiceError(Exception):
    """What ends a command because of the service, in one line or two."""

    def __init__(self, *lines: str, exit_code: int = 1) -> None:
        self.lines, self.exit_code = lines, exit_code
        super().__init__("; ".join(lines))


class Refused(ServiceError):
    """An answer that is an error; `is_again` if an earlier answer to the same request was lost."""

    def __init__(self, status: int, problem: Mapping[str, Any], *, is_again: bool = False) -> None:
        self.status, self.problem, self.is_again = status, problem, is_again
        self.kind = str(problem.get("type", "")).removeprefix("urn:preheat:")
        advice = _ADVICE.get(self.kind)
        detail = str(problem.get("detail", ""))
        super().__init__(detail, *([advice] if advice else []), exit_code=3 if self.may_pass else 1)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered otherwise a little later."""
        return self.status >= _SERVER_ERROR or self.status in {408, 425, 429}

    @property
    def wait_s(self) -> float | None:
        """After how long to ask again; None if that is of no use."""
        text = str(self.problem.get("retry_after", "0" if self.status in _GATEWAY else ""))
        return min(float(text), _LONGEST_WAIT_S) if self.may_pass and text.isdecimal() else None


class NoAnswer(ServiceError):
    """Nobody answered; `is_sent` if the request may have been done all the same."""

    def __init__(self, address: str, error: Exception, *, is_sent: bool) -> None:
        self.is_sent = is_sent
        reason = str(error) or type(error).__name__
        super().__init__(f"no answer from {address} (--url, PREHEAT_URL): {reason}", exit_code=3)


class Service:
    """Requests to one service. Each raises Refused, NoAnswer or ServiceError."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self._http = settings.client()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The JSON object at a path; what is None is not asked for."""
        return content_of(self.request("GET", path, query=query))

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> dict[str, Any]:
        """The JSON object that answers a request; `options` are those of `request`."""
        return content_of(self.request(method, path, body, **options))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = True,
    ) -> "httpx.Response":
        """The answer, if it is none that says no.

        A request is sent again that got the answer that the reason may pass, or whose answer was lost, unless twice
        would be another thing than once. Who only looks can look again.
        """
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        content = None if body is None else orjson.dumps(body)
        sent = {**({} if content is None else {"content-type": "application/json"}), **(headers or {})}
        is_again = False
        for wait_s in (*(_WAITS_S if is_repeatable else ()), None):
            try:
                return self._once(method, path, asked, content, sent, is_again=is_again)
            except NoAnswer as error:
                is_again = error.is_sent
                if wait_s is None or not is_again or method == "GET":
                    error.lines += _doubt(method, sent) if is_again else ()
                    raise
                _pause(error, wait_s)
            except Refused as error:
                if wait_s is None or error.wait_s is None:
                    raise
                is_again = is_again or error.status >= _SERVER_ERROR
                _pause(error, max(wait_s, error.wait_s))
        raise AssertionError  # the last turn returns or raises

    def _once(
        self, method: str, path: str, query: Any, content: bytes | None, headers: Any, *, is_again: bool
    ) -> "httpx.Response":
        import httpx  # noqa: PLC0415

        try:
            response = self._http.request(method, path, params=query, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.LocalProtocolError) as error:
            raise NoAnswer(self.settings.address, error, is_sent=is_again) from error
        except httpx.HTTPError as error:
            raise NoAnswer(self.settings.address, error, is_sent=True) from error
        if not response.is_success:
            raise refusal(response, is_again=is_again)
        return response


def with_service(command: Command) -> Command:
    """Gives a command, as its parameter `service`, the service that it talks to; an error of that ends the command."""

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        url = arguments.pop("url")
        with speaking({} if url is None else {"url": url}) as service:
            command(service=service, **arguments)

    return with_parameters(wrapper, command, "service", [parameter("url", Annotated[str | None, _URL])])


_URL = typer.Option(
    "--url",
    metavar="URL",
    help="Address of the service, if it is not that of PREHEAT_URL (nor http://127.0.0.1:8000).",
    show_default=False,
)


@contextmanager
def speaking(given: dict[str, Any]) -> Iterator[Service]:
    """The service of the settings; ends the command with the messages of an error of it."""
    try:
        service = Service(valid(ServiceSettings, given))
        try:
            yield service
        finally:
            service.close()
    except ServiceError as error:
        print_error(error.lines[0])
        for line in error.lines[1:]:
            ERR.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(error.exit_code) from error


def refusal(response: "httpx.Response", *, is_again: bool = False) -> Refused:
    """An answer that says no, by its problem document; what is none is no service of ours."""
    problem: Any = None
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        problem = _json(response)
    if not isinstance(problem, dict):
        kind = response.headers.get("content-type", "nothing")
        detail = (
            f"{response.url.host} answered {response.status_code} with {kind}, as Preheat does not: is --url right?"
        )
        problem = {"detail": detail}
    if "retry-after" in response.headers:
        problem = {**problem, "retry_after": response.headers["retry-after"]}
    return Refused(response.status_code, problem, is_again=is_again)


def content_of(response: "httpx.Response") -> dict[str, Any]:
    """The JSON object of an answer, none where it has none. Raises ServiceError for anything else."""
    if not response.content:
        return {}
    content = _json(response)
    if not isinstance(content, dict):
        kind = response.headers.get("content-type", "nothing")
        raise ServiceError(f"{response.url.host} answered {kind} where JSON was expected: is --url right?")
    return content


def _json(response: "httpx.Response") -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def _doubt(method: str, headers: Mapping[str, str]) -> tuple[str, ...]:
    """What to do where nobody knows whether a request was done."""
    if method == "GET":
        return ()
    key = headers.get("idempotency-key")
    if key is None:
        return ("it may have been done all the same: look before you ask again",)
    return (f"it may have been done all the same: the same command with --key {key} does it once",)


def _pause(error: ServiceError, wait_s: float) -> None:
    """Says why the request is sent again, and waits."""
    ERR.print(f"{error.lines[0]}; asking again", markup=False, highlight=False, soft_wrap=True)
    time.sleep(wait_s)
