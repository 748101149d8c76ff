"""The command line, as `python -m preheat.cli`."""

from preheat.cli import main

main()
