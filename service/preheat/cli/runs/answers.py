"""Answers of a service that end a command: problem documents and no answer at all, each as a line or two."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

UNANSWERED = 3
"""Exit code of a command that got no answer, or one that may be another a little later."""

_LONGEST_WAIT_S = 10.0
_GATEWAY = frozenset({502, 504})
_SERVER_ERROR = 500
_ADVICE = {
    "confirmation-required": "--confirm does it, if it is meant",
    "run-locked": "`preheat runs unlock RUN` opens it",
    "rollback-pending": "`preheat runs withdraw RUN` takes the restart back",
    "run-alive": "`preheat runs finish RUN` ends it",
    "keys-missing": "--url names another service",
    "key-refused": "it was taken from PREHEAT_TOKEN",
}
"""What to do about a kind of problem on the command line."""


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
        super().__init__(detail, *([advice] if advice else []), exit_code=UNANSWERED if self.may_pass else 1)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be answered otherwise a little later."""
        return self.status >= _SERVER_ERROR or self.status in {408, 425, 429}

    @property
    def may_be_done(self) -> bool:
        """Whether what was asked for may have been done all the same."""
        return self.status >= _SERVER_ERROR

    @property
    def wait_s(self) -> float | None:
        """After how long to ask again; None if that is of no use."""
        text = str(self.problem.get("retry_after", "0" if self.status in _GATEWAY else ""))
        return min(float(text), _LONGEST_WAIT_S) if self.may_pass and text.isdecimal() else None


class NoAnswer(ServiceError):
    """Nobody answered; `may_be_done` says whether what was asked for may have been done all the same."""

    def __init__(self, address: str, error: Exception, *, may_be_done: bool) -> None:
        self.may_be_done = may_be_done
        # Where nobody listens it is of no use to ask again at once.
        self.wait_s = 0.0 if may_be_done else None
        reason = str(error) or type(error).__name__
        super().__init__(f"no answer from {address} (--url, PREHEAT_URL): {reason}", exit_code=UNANSWERED)


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
