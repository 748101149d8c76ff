"""The command line, as `python -m preheat.cli`."""

from preheat.cli.app import main

main()
