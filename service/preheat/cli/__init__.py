"""The command line."""

from preheat.cli.app import main

__all__ = ["main"]
