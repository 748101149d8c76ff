"""Routes: the OpenAPI document, and the page that shows it (Swagger UI), for which a browser asks no other host."""

import base64
import hashlib
import importlib.metadata
import importlib.resources
import re
from functools import partial

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, RedirectResponse

from preheat.api.caching import REVALIDATE, conditional
from preheat.api.dependencies import Context

router = APIRouter(include_in_schema=False, default_response_class=Response)

_PACKAGE = "fastapi_offline"
"""Whose wheel has the files of Swagger UI in its folder `static`; no code of it is used."""

_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_NO_ICON = "data:,"
_NO_VALIDATOR = {"validatorUrl": None}  # Swagger UI would show the document to a host of its authors


@router.get("/")
def to_the_documentation(context: Context) -> Response:
    """Leads whoever opens the service's address in a browser to the page."""
    return RedirectResponse(f"{context.root_path}/docs")


@router.get("/docs")
def documentation(context: Context) -> Response:
    """The page, which loads the files and the OpenAPI document."""
    root = context.root_path
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Preheat",
        swagger_js_url=f"{root}/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs/swagger-ui.css",
        swagger_favicon_url=_NO_ICON,
        swagger_ui_parameters=_NO_VALIDATOR,
    )
    html = bytes(page.body)
    policy = _content_security_policy(html.decode())
    return conditional(
        context.request, context.etag(html), lambda: html, REVALIDATE, "text/html", content_security_policy=policy
    )


@router.get("/openapi.json")
def openapi(context: Context) -> Response:
    """The OpenAPI document, of the service at the place where it was asked for."""
    servers = {"servers": [{"url": context.root_path}]} if context.root_path else {}
    return JSONResponse(context.request.app.openapi() | servers)


def _content_security_policy(page: str) -> str:
    """What the page may do: load its two files, run the one script in it, ask this service, and show its answers."""
    digests = [hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _file(name: str, context: Context) -> Response:
    tag = context.etag(_PACKAGE, importlib.metadata.version(_PACKAGE), name)
    read = (importlib.resources.files(_PACKAGE) / "static" / name).read_bytes
    return conditional(context.request, tag, read, REVALIDATE, _FILES[name])


for _name in _FILES:
    router.add_api_route(f"/docs/{_name}", partial(_file, _name))
