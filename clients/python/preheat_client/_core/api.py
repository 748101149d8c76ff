"""Api: what the client asks of the service, and the spec that it gives to one that has lost a schedule."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from preheat_client._core.configuration import Configuration
from preheat_client._core.curve import Metadata, Window, metadata_of, npy_bytes, window_of
from preheat_client._core.findings import Finding, findings_of
from preheat_client._core.request import Request
from preheat_client._http import Transport
from preheat_client.errors import RequestRefused, ServiceUnavailable

_LOG = logging.getLogger("preheat_client")
_NOT_FOUND, _CONFLICT = 404, 409

Given = TypeVar("Given")


class Api:
    """The requests; each raises ServiceUnavailable or RequestRefused, and accepts only an answer to what was asked.

    Made on the client's thread alone, but for `close`.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._transport = transport = Transport(configuration)
        self._successors: dict[str, str] = {}
        self.disconnect, self.forget, self.close = transport.disconnect, transport.forget, transport.close

    def metadata(self, request: Request, known: Metadata | None = None) -> Metadata:
        """The schedule that is meant; one with an id that is `known` is given to a service that has lost it."""
        if request.spec is None:
            return self._of(known or Metadata(request.schedule_id), self._get_metadata)
        spec = request.spec_dict
        metadata, asked = self._post(spec), spec.get("total_iterations")
        if isinstance(asked, int) and asked != (answered := metadata.total_iterations):
            raise ServiceUnavailable(f"the service answered {answered} iterations where {asked} were asked for")
        return metadata

    def window(self, metadata: Metadata, start: int, stop: int) -> Window:
        """Iterations start … stop − 1: exactly those, or an error. A wrong LR is worse than none."""
        length, columns = stop - start, metadata.columns

        def get(schedule_id: str) -> Window:
            path, bounds = f"/v1/schedules/{schedule_id}/lr", {"start": start, "stop": stop}
            answer = self._transport.request("GET", path, "application/x-npy", bounds, npy_bytes(length, columns))
            # A service that knows under which prefix a proxy shows it says so there.
            place = answer.headers.get("content-location", "")
            if not place.endswith(f"{path}?start={start}&stop={stop}&step=1"):
                raise ServiceUnavailable(f"the service answered something that is not iterations {start} … {stop - 1}")
            return window_of(answer.body, start, length, len(metadata.group_names), columns)

        return self._of(metadata, get)

    def picture(self, metadata: Metadata, name: str, **options: int | str) -> bytes:
        """The picture with a name: plot.png or plot.svg."""

        def get(schedule_id: str) -> bytes:
            answer = self._transport.request("GET", f"/v1/schedules/{schedule_id}/{name}", "image/*", options)
            kind = answer.headers.get("content-type", "nothing")
            if not kind.startswith("image/"):
                raise ServiceUnavailable(f"the service answered {kind} where a picture was expected")
            return answer.body

        return self._of(metadata, get)

    def findings(self, metadata: Metadata) -> tuple[Finding, ...]:
        """What lint says."""

        def get(schedule_id: str) -> tuple[Finding, ...]:
            return findings_of(self._transport.request("GET", f"/v1/schedules/{schedule_id}").json_object())

        return self._of(metadata, get)

    def _get_metadata(self, schedule_id: str) -> Metadata:
        # Lint reads the whole curve, which may take longer than any timeout: it is asked for apart.
        answer = self._transport.request("GET", f"/v1/schedules/{schedule_id}", parameters={"lint": "false"})
        metadata = metadata_of(answer.json_object())
        if metadata.id != schedule_id:
            raise ServiceUnavailable(f"the service answered schedule {metadata.id}, not {schedule_id}")
        return metadata

    def _post(self, spec: dict[str, Any]) -> Metadata:
        no_lrs = {"start": 0, "stop": 0}
        answer = self._transport.request("POST", "/v1/schedules", parameters=no_lrs, content=spec)
        return metadata_of(answer.json_object())

    def _of(self, metadata: Metadata, get: Callable[[str], Given]) -> Given:
        """Something of a schedule; a service that has lost it, or computes with another torch, is given its spec.

        A lost schedule then has the id that it had. Under another torch it may have another one, which is asked for
        from now on.
        """
        if metadata.id is None:  # the client has not heard from the service yet
            if not metadata.spec:
                raise ServiceUnavailable("the service has not described the schedule yet")
            return get(str(self._post(metadata.spec).id))
        known_id = metadata.id  # windows that were read before keep belonging to it
        schedule_id = self._successors.get(known_id, known_id)
        try:
            return get(schedule_id)
        except RequestRefused as error:
            # Without a problem document it is a proxy's page, and nothing is known of the service.
            if error.status not in {_NOT_FOUND, _CONFLICT} or "type" not in error.problem or not metadata.spec:
                raise
            posted = self._post(metadata.spec)
            if not posted.has_shape_of(metadata) or posted.total_iterations != metadata.total_iterations:
                raise ServiceUnavailable(f"the service made schedule {posted.id} of the spec of {known_id}") from error
        if posted.id != schedule_id:  # remembered, or each window would take three requests
            _LOG.warning("schedule %s: the service computes its spec as schedule %s now", known_id, posted.id)
            self._successors[known_id] = str(posted.id)
        return get(str(posted.id))
