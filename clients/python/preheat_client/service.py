"""What the client asks of the service."""

from collections.abc import Mapping
from typing import Any

from preheat_client.configuration import Configuration
from preheat_client.document import Document, Request, document_of
from preheat_client.errors import ScheduleNotFound, ServiceUnavailable
from preheat_client.transport import MAX_BYTES, Answer, Transport
from preheat_client.windows import Window, npy_bytes, window_of


class Service:
    """The questions; each raises ServiceUnavailable or RequestRefused, and takes no answer that is not one.

    Asked on the client's thread alone, but for `close`.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._transport = Transport(configuration)
        self.disconnect, self.forget, self.close = (
            self._transport.disconnect,
            self._transport.forget,
            self._transport.close,
        )

    def document(self, request: Request) -> Document:
        """The schedule that is meant."""
        if request.spec is None:
            answer = self._transport.request("GET", f"/v1/schedules/{request.schedule_id}", "application/json")
        else:
            answer = self._created(request.spec_dict)
        return document_of(answer.json_object(), request)

    def window(self, document: Document, start: int, stop: int) -> Window:
        """Iterations start … stop − 1: exactly those, or an error. A wrong LR is worse than none."""
        path = f"/v1/schedules/{document.id}/lr"
        length, columns = stop - start, document.columns
        bounds = {"start": start, "stop": stop}
        size = npy_bytes(length, columns)
        answer = self._of(document, path, "application/x-npy", bounds, size)
        if answer.headers.get("content-location") != f"{path}?start={start}&stop={stop}&step=1":
            raise ServiceUnavailable(f"the service answered something that is not iterations {start} … {stop - 1}")
        return window_of(answer.body, start, length, len(document.group_names), columns)

    def picture(self, document: Document, name: str, **options: int | str) -> bytes:
        """The picture with a name: plot.png or plot.svg."""
        return self._of(document, f"/v1/schedules/{document.id}/{name}", "image/*", options, MAX_BYTES).body

    def _created(self, spec: dict[str, Any]) -> Answer:
        nothing_else = {"start": 0, "stop": 0}
        return self._transport.request("POST", "/v1/schedules", "application/json", nothing_else, content=spec)

    def _of(
        self, document: Document, path: str, accept: str, parameters: Mapping[str, int | str], max_bytes: int
    ) -> Answer:
        """Something of a schedule; a service that has lost it is given it again: it has the same id everywhere."""
        try:
            return self._transport.request("GET", path, accept, parameters, max_bytes=max_bytes)
        except ScheduleNotFound:
            self._created(document.spec)
            return self._transport.request("GET", path, accept, parameters, max_bytes=max_bytes)
