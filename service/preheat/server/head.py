"""The head of a request: what every reader must see in the same way, and what its target says."""

import urllib.parse
from typing import Any

import httptools

from preheat.errors import RequestMalformed

Headers = list[tuple[bytes, bytes]]


def check_framing(headers: Headers, version: str, *, is_upgrade: bool) -> None:
    """Returns if there is one way to see whose request this is, and where it ends. Raises RequestMalformed."""
    names = [name for name, _ in headers]
    if names.count(b"host") > 1 or (b"host" not in names and version != "1.0"):
        raise RequestMalformed("a request must have one Host (RFC 9112 §3.2)")
    if version == "1.0" and b"transfer-encoding" in names:
        raise RequestMalformed("Transfer-Encoding must not be in a request of HTTP/1.0 (RFC 9112 §6.1)")
    # The parser takes what follows for the other protocol, and would read a body as a request.
    if is_upgrade and (b"transfer-encoding" in names or b"content-length" in names):
        raise RequestMalformed("a request with Upgrade must have no body: make the client use HTTP/1.1")


def set_target(scope: Any, url: bytes, root: str) -> str:
    """Writes path and query into the scope, and gives the path without root_path, if that was there.

    Raises RequestMalformed, httptools.HttpParserInvalidURLError.
    """
    parsed = httptools.parse_url(url)
    raw_path = parsed.path
    if raw_path is None:
        raise RequestMalformed("the target must have a path (RFC 9112 §3.2)")
    path: str = raw_path.decode("ascii")
    if "%" in path:
        path = urllib.parse.unquote(path)
    own_path = path
    if root:  # a proxy has passed it on or has stripped it: applications are to see it (ASGI, HTTP scope)
        if path == root:  # as somebody types it: the page at its root
            path, raw_path = f"{path}/", raw_path + b"/"
        if path.startswith(f"{root}/"):
            own_path = path.removeprefix(root)
        else:
            path, raw_path = root + path, root.encode() + raw_path
    scope["path"], scope["raw_path"], scope["query_string"] = path, raw_path, parsed.query or b""
    return own_path
