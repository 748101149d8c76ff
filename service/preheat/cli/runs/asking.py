"""Asking: a person is shown what would be done and says yes or no; a request that others were faster than says how."""

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import typer

from preheat.cli.output import fail, remark, visible
from preheat.cli.runs.answers import Refused, ServiceError
from preheat.cli.runs.found import path_of
from preheat.cli.runs.service import Service
from preheat.cli.runs.words import event_words, time_words

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for those who read it later.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Idempotency-Key of an earlier call whose answer was lost: what it did is not done twice.",
        show_default="a new one",
    ),
]


@dataclass(frozen=True)
class Steering:
    """A run as its author has seen it, and the key of what is asked for: it is done on that, and once."""

    run: Mapping[str, Any]
    key: str | None

    @property
    def headers(self) -> dict[str, str]:
        """If-Match and Idempotency-Key."""
        return {"if-match": self.run["etag"]} | ({} if self.key is None else {"idempotency-key": self.key})

    def send(self, service: Service, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """The answer to a request below the run's path. Raises ServiceError, which says what others did meanwhile."""
        try:
            return service.send(method, f"{path_of(self.run)}/{path}", body, query=query, headers=self.headers)
        except Refused as error:
            if error.kind == "precondition-failed":
                raise _moved(service, self.run) from error
            raise


def steering(run: Mapping[str, Any], key: str | None) -> Steering:
    """What is asked of a run as it is now, under a key that was given, or a new one."""
    return Steering(run, secrets.token_hex(16) if key is None else key)


def must_be_able_to_ask() -> None:
    """Ends the command where nobody sits at a terminal who could be asked."""
    if not sys.stdin.isatty():
        fail("without a terminal nobody can be asked: --yes does it without asking", code=2)


def ask(question: str, *, is_yes: bool) -> None:
    """Asks, unless the answer was given; ends the command, with exit code 1, where it is no."""
    if is_yes:
        return
    must_be_able_to_ask()
    if not typer.confirm(visible(question), err=True):
        decline()


def decline() -> NoReturn:
    """Ends the command of somebody who has said no."""
    remark("nothing was changed")
    raise typer.Exit(1)


def _moved(service: Service, run: Mapping[str, Any]) -> ServiceError:
    """What has happened to a run since it was looked at."""
    first = f"{run['label']} has changed since it was looked at, and nothing was done:"
    try:
        events = service.get(f"{path_of(run)}/events", after=run["events"])["events"]
    except Refused as error:  # trimmed, or deleted
        return ServiceError(first, error.lines[0])
    told = [f"{time_words(each['at'])} UTC  {each['kind']}: {event_words(each)}" for each in events]
    return ServiceError(first, *told, "the same command shows what it would do now")
