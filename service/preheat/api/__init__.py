"""The HTTP face: thin routes, problem documents, formats."""

from preheat.api.app import app_from_environment, create_app

__all__ = ["app_from_environment", "create_app"]
