"""Root of the errors, and how they show what a request said."""

from http import HTTPStatus
from typing import Any, ClassVar

from preheat.messages import beginning, printable


class PreheatError(Exception):
    """Root of the service's errors: the class says `status`, `kind` (of the type's URN), `title` and `retry_after_s`.

    `members` are what a problem document says besides type, title, status and detail.
    """

    status: ClassVar[HTTPStatus]
    kind: ClassVar[str]
    title: ClassVar[str]
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, detail: str, **members: Any) -> None:
        self.members = members
        super().__init__(detail)

    @property
    def headers(self) -> dict[str, str]:
        """What its answer says in headers."""
        return {"retry-after": str(self.retry_after_s)} if self.retry_after_s else {}


def shown(text: str) -> str:
    """Text of a request as a header or a terminal can carry it: short, masked, ASCII."""
    # Long enough to recognise one's own value, too short to flood a log.
    return printable(beginning(text))
