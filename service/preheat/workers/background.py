"""Imported first by the server that forks worker processes: they give way to the process that answers requests."""

import os
import signal

_NICENESS = 5

os.nice(_NICENESS)
# A service manager and Ctrl-C send theirs to the whole group; without this server the service could not end its workers
# by a signal.
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
