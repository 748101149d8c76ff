"""Exit codes of processes, in words."""

import signal


def ending(code: int | None) -> str:
    """How a process ended, by the exit code that `multiprocessing` gives it: minus the signal that ended it."""
    if code is None:
        return "with an unknown exit code"
    names = {each.value: each.name for each in signal.Signals}  # real-time signals have none
    return f"with exit code {code}" if code >= 0 else f"by {names.get(-code, f'signal {-code}')}"
