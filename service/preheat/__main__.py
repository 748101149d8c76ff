"""Entry point: the program `preheat`, also as `python -m preheat`."""

import os
import signal
import sys


def main() -> None:
    """Runs the command line; SIGTERM ends `preheat serve` with 0 from the first moment on."""
    # Until it serves there is nothing to put in order; imports take most of a second, and might swallow an exception.
    if sys.argv[1:2] == ["serve"]:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from preheat.cli import main as run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
