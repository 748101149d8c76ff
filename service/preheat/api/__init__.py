"""The REST API: routes, queries, problem documents, caching."""

from preheat.api.app import app_from_environment, create_app

__all__ = ["app_from_environment", "create_app"]
