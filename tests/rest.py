"""What tests of the REST API send, and how they check a problem document."""

from typing import Any

import httpx

UNKNOWN = "0" * 32
"""An id that no schedule has."""


def post(http: httpx.Client, spec: object, **parameters: int) -> httpx.Response:
    """The answer to a posted spec."""
    return http.post("/v1/schedules", json=spec, params=parameters)


def posted_id(http: httpx.Client, spec: object) -> str:
    """The id of a schedule that is posted for it."""
    return str(post(http, spec, stop=0).json()["id"])


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer, after checking its form (RFC 9457) and that no cache keeps it."""
    document: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, document["status"], document["type"]) == (status, status, f"urn:preheat:{kind}")
    assert document["title"]
    assert document["detail"]
    assert response.headers["cache-control"] == "no-store"
    return document
