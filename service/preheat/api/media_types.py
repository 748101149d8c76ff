"""Which of our formats a client accepts."""

from collections.abc import Sequence
from http import HTTPStatus

from preheat.api.problems import RequestRefused

JSON = "application/json"
PNG = "image/png"
SVG = "image/svg+xml"
CSV = "text/csv"
NPY = "application/x-npy"

WINDOW_FORMATS = (JSON, PNG, SVG, CSV, NPY)
"""What a window of LRs can be answered as; the first is the default."""


def negotiate(accept: str | None, formats: Sequence[str] = WINDOW_FORMATS) -> str:
    """The format that an Accept header prefers (RFC 9110 §12.5.1); at equal weight the earlier of ours.

    Raises RequestRefused (406) if it accepts none.
    """
    ranges = [_parse(part) for part in (accept or "*/*").split(",") if part.strip()]
    weights = {media_type: _weight(media_type, ranges) for media_type in formats}
    best = max(formats, key=weights.__getitem__)
    if weights[best] <= 0:
        raise RequestRefused(
            HTTPStatus.NOT_ACCEPTABLE,
            f"Accept must admit one of {', '.join(formats)}",
            available=list(formats),
        )
    return best


def _parse(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return media_range, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return media_range, 0.0


def _weight(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """The weight of the most specific range that covers the type."""
    for pattern in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        weights = [weight for media_range, weight in ranges if media_range == pattern]
        if weights:
            return max(weights)
    return 0.0
