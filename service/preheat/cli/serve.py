"""Command: serve."""

import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from preheat import __version__
from preheat.cli.arguments import valid, with_options
from preheat.cli.output import ERR, fail
from preheat.settings import Settings, unknown_variables
from preheat.workers import prepare

if TYPE_CHECKING:
    from preheat.store import Database

_POLL_S, _MOST_POLLS = 0.1, 6000
_EVERY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a service listens on, and where it is reached


@with_options(Settings, ("host", "port", "workers", "database_url"))
def serve(given: dict[str, Any]) -> None:
    """Run the service. Every setting can also be an environment variable: PREHEAT_PORT=9000, say."""
    settings = valid(Settings, given)
    for message in unknown_variables(os.environ):
        ERR.print(f"[yellow]warning:[/] {escape(message)}", highlight=False, soft_wrap=True)
    database = _database(settings)
    if settings.workers > 1 and not database.is_shared:
        fail(f"workers ({settings.workers}) must be 1 with a database in memory: the workers could not share it")
    listening_port = _free_port(settings.host, settings.port)
    for name, value in given.items():  # worker processes read their settings from the environment
        os.environ[f"PREHEAT_{name.upper()}"] = str(value)
    url = f"http://{_address(_EVERY_HOST.get(settings.host, settings.host), listening_port)}"
    typer.echo(f"Preheat {__version__} is starting …")
    threading.Thread(target=_greet, args=(url, database.shown_url), daemon=True).start()

    if settings.workers == 1 and settings.compute_workers and database.is_shared:
        prepare(
            ("preheat.workers.background", "preheat.api.warm")
        )  # what worker processes import, beside what this process does
    import uvicorn  # noqa: PLC0415 - only here

    # uvicorn ends by the signal that it was told to end with, once everything is in order: that is no error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with suppress(KeyboardInterrupt):
        uvicorn.run(
            "preheat.api:app_from_environment",
            factory=True,
            host=settings.host,
            port=listening_port,
            workers=settings.workers,
            log_level="warning",
            timeout_graceful_shutdown=settings.shutdown_timeout_s,
            access_log=False,  # shown from info on, but its text is made for every request before the level is asked
        )


def _database(settings: Settings) -> "Database":
    """The database, which is not yet opened; ends the command if its URL is none."""
    from preheat.store import Database  # noqa: PLC0415 - imports SQLAlchemy

    try:
        return Database(settings.database_url, settings.database_timeout_s)
    except ValueError as error:
        fail(str(error), code=2)


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            advice = "choose another with --host and --port, or for make: PREHEAT_PORT=9000 make serve"
            fail(f"cannot listen on {_address(host, port)}: {error.strerror}; {advice}")
        number: int = listener.getsockname()[1]
        return number


def _address(host: str, port: int) -> str:
    # Without brackets the port would read as the last part of an IPv6 address (RFC 3986 §3.2.2).
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _greet(url: str, database: str) -> None:
    """Says where the service is and what to try, as soon as it answers."""
    for _ in range(_MOST_POLLS):
        if _answers(url):
            break
        time.sleep(_POLL_S)
    else:
        return
    typer.echo(f"Preheat {__version__} on {url}  (routes: {url}/docs, schedules in {database})")
    typer.echo(f"""Try in another terminal:
  curl -s {url}/v1/schedules -H 'Content-Type: application/json' -d '{{"target_lr": 0.01, "total_iterations": 20, \
"warmup": {{"iterations": 10}}, "after_scheduler": {{"type": "CosineAnnealingLR"}}}}'
Ctrl-C ends it.""")


def _answers(url: str) -> bool:
    # Without proxies of the environment: the service is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/livez", timeout=1):
            return True
    except OSError:
        return False
