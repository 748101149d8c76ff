"""Bodies of requests, read within a bound; the server itself has one for the time that they take to arrive."""

import re
import zlib

from fastapi import Request

from preheat.errors import BodyTooLarge, CompressionRefused, UnsupportedMediaType

_JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


async def json_body(request: Request, max_bytes: int) -> bytes:
    """The body, which is not parsed yet. Raises UnsupportedMediaType, BodyTooLarge."""
    content_type = request.headers.get("content-type", "")
    # A browser sends other types across origins without asking the service first, so that JSON must be declared.
    if not _JSON.fullmatch(content_type.partition(";")[0].strip()):
        raise UnsupportedMediaType(content_type)
    body = bytearray()
    async for chunk in request.stream():  # a body without Content-Length is cut off where it is too large
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLarge(max_bytes)
    return bytes(body)


async def gzipped_json_body(request: Request, max_bytes: int) -> bytes:
    """The same of a body that may be compressed with gzip; `max_bytes` bounds what it is unpacked to, too.

    Raises CompressionRefused, too.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    body = await json_body(request, max_bytes)
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise CompressionRefused(encoding, "must be gzip")
    try:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with the head and the end of gzip
        unpacked = unpacking.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise CompressionRefused(encoding, f"does not fit the body: {error}") from None
    if len(unpacked) > max_bytes:
        raise BodyTooLarge(max_bytes)
    if not unpacking.eof or unpacking.unused_data:
        raise CompressionRefused(encoding, "does not fit the body: it ends too early, or goes on after its end")
    return unpacked
