"""Worker processes: work that can be stopped, a few at a time, within a limit of memory."""

from preheat.workers.pool import Limits, WorkerPool
from preheat.workers.process import Setup, prepare

__all__ = ["Limits", "Setup", "WorkerPool", "prepare"]
