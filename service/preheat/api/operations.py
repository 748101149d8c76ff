"""Which methods and parameters a path has, read from the OpenAPI document that describes them."""

import re
from typing import Any

from fastapi import FastAPI

_PARAMETER = re.compile(r"\\\{\w+\\\}")


class Operations:
    """The operations of every documented path."""

    def __init__(self, paths: dict[str, dict[str, Any]]) -> None:
        self._paths = [
            (re.compile(_PARAMETER.sub("[^/]+", re.escape(template))), operations)
            for template, operations in paths.items()
        ]

    def methods(self, path: str) -> list[str]:
        """Methods that a path answers, in alphabetical order; none for an unknown path."""
        methods = {method.upper() for method in self._at(path)}
        if "GET" in methods:
            methods.add("HEAD")
        return sorted({*methods, "OPTIONS"}) if methods else []

    def query_names(self, path: str, method: str) -> list[str]:
        """Names of the query parameters of an operation."""
        parameters = self._at(path).get(method.lower(), {}).get("parameters", [])
        return [parameter["name"] for parameter in parameters if parameter["in"] == "query"]

    def _at(self, path: str) -> dict[str, Any]:
        return next((operations for pattern, operations in self._paths if pattern.fullmatch(path)), {})


def operations(app: FastAPI) -> Operations:
    """The operations of an application, read once."""
    if not hasattr(app.state, "operations"):
        app.state.operations = Operations(app.openapi()["paths"])
    found: Operations = app.state.operations
    return found
