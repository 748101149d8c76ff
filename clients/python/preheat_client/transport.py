"""Requests to the service, and what becomes of their failures."""

import json
import math
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from preheat_client.errors import InvalidSpec, PreheatError, RequestRefused, ScheduleNotFound, ServiceUnavailable

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_TOO_MANY_REQUESTS, _SERVER_ERROR, _NOT_FOUND, _UNPROCESSABLE = 429, 500, 404, 422

Answer = TypeVar("Answer")


class Transport:
    """An HTTP connection to one service. Safe to use from several threads."""

    def __init__(self, url: str, timeout_s: float, transport: httpx.BaseTransport | None) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport)

    def get(self, path: str, accept: str, **parameters: int | str) -> httpx.Response:
        """What is at a path. Raises ServiceUnavailable or RequestRefused."""
        return self._request("GET", path, params=parameters, headers={"accept": accept})

    def get_json(self, path: str) -> dict[str, Any]:
        """The JSON object at a path. Raises ServiceUnavailable or RequestRefused."""
        return _json_object(self.get(path, "application/json"))

    def post_json(self, path: str, content: object, **parameters: int) -> dict[str, Any]:
        """The JSON object that answers a JSON document. Raises ServiceUnavailable or RequestRefused."""
        headers = {"content-type": "application/json"}
        return _json_object(
            self._request("POST", path, params=parameters, content=json.dumps(content), headers=headers)
        )

    def close(self) -> None:
        """Closes all connections."""
        self._http.close()

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise _failure(error) from error
        except RuntimeError as error:  # what httpx says of a client that was closed
            raise ServiceUnavailable(f"the client is closed ({error})") from error
        if not response.is_success:
            raise _failure(response)
        return response


def with_retries(request: Callable[[], Answer], timeout_s: float) -> Answer:
    """The request's answer, tried again for `timeout_s` as long as that may help."""
    give_up = time.monotonic() + timeout_s
    failures = 0
    while True:
        try:
            return request()
        except ServiceUnavailable as error:
            failures += 1
            pause = pause_s(failures, error)
            if time.monotonic() + pause >= give_up:
                raise
            time.sleep(pause)


def pause_s(failures: int, error: ServiceUnavailable | None = None) -> float:
    """How long to wait after so many failures in a row: doubling, up to half of it taken off at random."""
    longest: float = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, 20), _LONGEST_PAUSE_S)
    wished = error.retry_after_s if error is not None and error.retry_after_s is not None else 0.0
    return max(longest * random.uniform(0.5, 1.0), min(wished, _LONGEST_PAUSE_S))  # noqa: S311 - only to spread load


def _failure(cause: httpx.Response | Exception) -> PreheatError:
    """Tells what may pass (connection, timeout, 429, 5xx) from what will not (any other refusal)."""
    if not isinstance(cause, httpx.Response):
        return ServiceUnavailable(f"no answer from the service: {type(cause).__name__}: {cause}")
    problem = _problem(cause)
    if cause.status_code == _TOO_MANY_REQUESTS or cause.status_code >= _SERVER_ERROR:
        detail = problem.get("detail", cause.reason_phrase)
        return ServiceUnavailable(f"the service answered {cause.status_code}: {detail}", _retry_after_s(cause))
    kinds = {_NOT_FOUND: ScheduleNotFound, _UNPROCESSABLE: InvalidSpec}
    kind = kinds.get(cause.status_code, RequestRefused) if "type" in problem else RequestRefused
    return kind(cause.status_code, problem)


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("content-type", "nothing")
        raise ServiceUnavailable(f"the service answered {kind} where JSON was expected") from error
    if not isinstance(content, dict):
        raise ServiceUnavailable(f"the service answered {type(content).__name__} where an object was expected")
    return content


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        return _json_object(response)
    except ServiceUnavailable:
        return {"title": response.reason_phrase, "detail": response.text[:200]}


def _retry_after_s(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", "nan"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
