"""What browsers are told: security headers on every answer, and CORS for origins that a setting names."""

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""For every answer: any of them may be opened in a browser."""

# Pictures as SVG have their styles in themselves; nothing has a script, and nothing is shown in another's frame.
_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'"
)
CONTENT_SECURITY_POLICY = (b"content-security-policy", _POLICY)
"""For every answer that does not bring its own, as the page at /docs does."""

CORS: dict[str, Any] = {
    "allow_methods": ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"),
    "allow_headers": ("Authorization", "If-None-Match", "Traceparent", "X-Request-ID"),
    "expose_headers": (
        "Content-Location",
        "ETag",
        "Link",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "WWW-Authenticate",
        "X-Request-ID",
    ),
}
"""Options of Starlette's CORS middleware. A key is sent as a header that a page's script sets: no cookies, and so none
of what CORS calls credentials."""


def add_security_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Completes the headers of an answer."""
    if not any(name == b"content-security-policy" for name, _ in headers):
        headers.append(CONTENT_SECURITY_POLICY)
    headers.extend(SECURITY_HEADERS)


class SecurityHeaders:
    """Completes every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes one request on."""

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = headers = list(message["headers"])
                add_security_headers(headers)
            await send(message)

        await self._app(scope, receive, send_completed)
