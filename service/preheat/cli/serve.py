"""Command: serve."""

import os
import signal
import socket
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from rich.markup import escape

from preheat import __version__
from preheat.cli.arguments import valid, with_options
from preheat.cli.database import database_of
from preheat.cli.output import ERR, fail
from preheat.errors import StoreUnavailable
from preheat.first_key import first_key
from preheat.loopback import is_loopback
from preheat.observability import logs
from preheat.observability.folder import MetricsFolder
from preheat.settings import Settings, unknown_variables
from preheat.workers import PRELOADED, prepare

if TYPE_CHECKING:
    from preheat.store import Database

_POLL_S, _MOST_POLLS = 0.1, 6000
_KEY_HEADER = ' -H "Authorization: Bearer $PREHEAT_TOKEN"'
_EVERY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a service listens on, and where it is reached


@with_options(Settings, ("host", "port", "workers", "database_url", "without_keys"))
def serve(given: dict[str, Any]) -> None:
    """Run the service. Every setting can also be an environment variable: PREHEAT_PORT=9000, say."""
    settings = valid(Settings, given)
    if "database_url" in given and settings.database_url_file:
        fail("--database-url and PREHEAT_DATABASE_URL_FILE must not both be given: the file would win", code=2)
    for message in unknown_variables(os.environ):
        ERR.print(f"[yellow]warning:[/] {escape(message)}", highlight=False, soft_wrap=True)
    database = database_of(settings)
    if settings.workers > 1 and not database.is_shared:
        fail(f"workers ({settings.workers}) must be 1 with a database in memory: the workers could not share it")
    logs.configure(settings.log_format, settings.log_level)
    with _listener(settings.host, settings.port) as listener:
        header = _KEY_HEADER if _asks_for_keys(settings, database, listener.getsockname()[0]) else ""
        for name, value in given.items():  # worker processes read their settings from the environment
            os.environ[f"PREHEAT_{name.upper()}"] = str(value)
        url = f"http://{_address(_EVERY_HOST.get(settings.host, settings.host), listener.getsockname()[1])}"
        say = partial(logs.say, log_format=settings.log_format)
        say(f"Preheat {__version__} is starting …")
        reach = ", and on every other address of this machine" if settings.host in _EVERY_HOST else ""
        threading.Thread(target=_greet, args=(say, url, reach, database.shown_url, header), daemon=True).start()
        _serve(settings, listener, computes_apart=bool(settings.compute_workers) and database.is_shared)


def _serve(settings: Settings, listener: socket.socket, *, computes_apart: bool) -> NoReturn:
    """Answers requests until a signal comes, and ends the process. Raises SystemExit if it cannot start."""
    from preheat.server import end_process, run  # noqa: PLC0415 - only here

    code = 0
    with ExitStack() as at_end, suppress(KeyboardInterrupt):

        def end() -> None:
            at_end.close()
            end_process()

        # uvicorn ends by the signal that it was told to end with, once everything is in order: that is no error.
        signal.signal(signal.SIGTERM, lambda *_: end())
        if settings.metrics_dir or settings.workers > 1 or computes_apart:
            folder = _metrics_folder(settings)
            if folder is not None:
                at_end.callback(folder.remove)
                os.environ["PREHEAT_METRICS_DIR"] = str(folder.path)
        if settings.workers == 1 and computes_apart:
            prepare(PRELOADED)  # what worker processes import, beside what this process does
        code = run("preheat.api:app_from_environment", settings, listener, end)
    end_process(code)


def _metrics_folder(settings: Settings) -> MetricsFolder | None:
    """A new folder in which several processes share their metrics, if no setting names one.

    Ends the command if nothing can be written there, or where worker processes write.
    """
    try:
        tempfile.gettempdir()
        if not settings.metrics_dir:
            return MetricsFolder()
    except OSError as error:
        fail(f"no temporary files can be written: {error.strerror}; set TMPDIR to a folder where they can")
    try:
        with tempfile.TemporaryFile(dir=settings.metrics_dir):
            return None
    except OSError as error:
        fail(f"metrics_dir ({settings.metrics_dir}) cannot be written: {error.strerror}")


def _asks_for_keys(settings: Settings, database: "Database", address: str) -> bool:
    """Whether the service is going to ask for keys, as far as that is known.

    Ends the command where the settings' key cannot be one, or where nothing would protect an address of a network.
    """
    from preheat.store import KeyStore  # noqa: PLC0415 - imports SQLAlchemy

    try:
        if first_key(settings) is not None or settings.without_keys:
            return not settings.without_keys
    except ValueError as error:
        fail(str(error), code=2)
    try:
        has_keys = bool(KeyStore(database).all())
    except StoreUnavailable:  # the service refuses everything until it has read the keys
        return True
    finally:
        database.close()
    if not has_keys and not is_loopback(address):
        fail(
            f"host ({settings.host}) is no loopback address, and there are no keys: whoever reaches the port could use "
            f"the service. Make a key (preheat keys make NAME --scopes admin, or PREHEAT_FIRST_KEY), or say that this "
            "is meant (--without-keys)",
            code=2,
        )
    return has_keys


def _listener(host: str, port: int) -> socket.socket:
    """A socket at an address; ends the command if there can be none."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except socket.gaierror as error:
        listener.close()
        fail(f"host ({host}) is no address, and no name of one that this machine knows: {error.strerror}")
    except OSError as error:
        listener.close()
        advice = "choose another with --host and --port, or for make: PREHEAT_PORT=9000 make serve"
        fail(f"cannot listen on {_address(host, port)}: {error.strerror}; {advice}")
    return listener


def _address(host: str, port: int) -> str:
    # Without brackets the port would read as the last part of an IPv6 address (RFC 3986 §3.2.2).
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _greet(say: Callable[[str], None], url: str, reach: str, database: str, header: str) -> None:
    """Says where the service is and what to try, as soon as it answers."""
    for _ in range(_MOST_POLLS):
        if _answers(url):
            break
        time.sleep(_POLL_S)
    else:
        return
    say(f"Preheat {__version__} on {url}{reach}  (routes: {url}/docs, schedules in {database})")
    say(f"""Try in another terminal:
  curl -s {url}/v1/schedules{header} -H 'Content-Type: application/json' -d '{{"target_lr": 0.01, \
"total_iterations": 20, "warmup": {{"iterations": 10}}, "after_scheduler": {{"type": "CosineAnnealingLR"}}}}'
Ctrl-C ends it.""")


def _answers(url: str) -> bool:
    # Without proxies of the environment: the service is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/livez", timeout=1):
            return True
    except OSError:
        return False
