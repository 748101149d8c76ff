"""Service: the requests of `preheat runs`, sent again where an answer was lost; what gives one to a command."""

import functools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from preheat.cli.arguments import Command, parameter, valid, with_parameters
from preheat.cli.output import print_error, remark
from preheat.cli.runs.answers import UNANSWERED, NoAnswer, Refused, ServiceError, content_of, refusal
from preheat.cli.runs.connection import Connection

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_WAITS_S = (0.3, 1.0, 3.0)
"""How long to wait before asking again, after each answer that was lost."""


class Service:
    """Requests to one service. Each raises Refused, NoAnswer or ServiceError."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._http = connection.client()

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
        is_looking = method == "GET" or "dry_run" in asked
        is_again = False
        for wait_s in (*(_WAITS_S if is_repeatable else ()), None):
            try:
                return self._once(method, path, asked, content, sent, is_again=is_again)
            except (NoAnswer, Refused) as error:
                is_again = is_again or error.may_be_done
                is_enough = is_looking and isinstance(error, NoAnswer)
                if wait_s is None or error.wait_s is None or is_enough:
                    if is_again and not is_looking and error.exit_code == UNANSWERED:
                        error.lines += (_doubt(sent),)
                    raise
                _pause(error, max(wait_s, error.wait_s))
        raise AssertionError  # the last turn returns or raises

    def _once(
        self, method: str, path: str, query: Any, content: bytes | None, headers: Any, *, is_again: bool
    ) -> "httpx.Response":
        import httpx  # noqa: PLC0415

        try:
            response = self._http.request(method, path, params=query, content=content, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.LocalProtocolError) as error:
            raise NoAnswer(self.connection.address, error, may_be_done=is_again) from error
        except httpx.HTTPError as error:
            raise NoAnswer(self.connection.address, error, may_be_done=True) from error
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
    """The service of the environment and what was given; ends the command with the messages of an error of it."""
    try:
        service = Service(valid(Connection, given))
        try:
            yield service
        finally:
            service.close()
    except ServiceError as error:
        print_error(error.lines[0])
        remark(*(f"  {line}" for line in error.lines[1:]))
        raise typer.Exit(error.exit_code) from error


def _doubt(headers: Mapping[str, str]) -> str:
    """What to do where nobody knows whether a request was done."""
    key = headers.get("idempotency-key")
    if key is None:
        return "it may have been done all the same: look before you ask again"
    return f"it may have been done all the same: the same command with --key {key} does it once"


def _pause(error: ServiceError, wait_s: float) -> None:
    """Says why the request is sent again, and waits."""
    remark(f"{error.lines[0]}; asking again")
    time.sleep(wait_s)
