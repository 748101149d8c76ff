"""Worker processes: work that can be stopped, a few at a time, within a limit of memory."""

from preheat.workers.pool import Limits, WorkerPool
from preheat.workers.process import Setup, prepare

__all__ = ["PRELOADED", "Limits", "Setup", "WorkerPool", "prepare"]

PRELOADED = ("preheat.workers.background", "preheat.api.warm")
"""What is imported before worker processes are made, so that none of them starts cold."""
