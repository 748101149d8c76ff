"""Facts about the code that the documentation shows: the only module here that imports the service and the client.

A rename in the code costs one line here.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from preheat.api import create_app
from preheat.cli import app as command_line
from preheat.curve import Curve
from preheat.errors import PreheatError
from preheat.keys import SCOPES
from preheat.lint import OTHERS, REFUSALS, RULES
from preheat.observability.metrics import Metrics
from preheat.plot.options import PlotOptions
from preheat.plot.render import render
from preheat.schedule import Schedule
from preheat.settings import Settings
from preheat.specs import Spec
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.recipes import recipes
from preheat_client._core.configuration import configuration_rows

__all__ = [
    "client_options",
    "commands",
    "curve_of",
    "lint_rules",
    "metrics",
    "openapi",
    "picture",
    "problems",
    "recipes",
    "scheduler",
    "schedulers",
    "scopes",
    "settings",
    "spec_schema",
]


def schedulers() -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """Name, docstring, JSON schema and whether it has a closed form, of every scheduler in the code's order."""
    for name, model in SCHEDULER_TYPES.items():
        yield scheduler(name, model)


def scheduler(name: str, model: type[Any]) -> tuple[str, str, dict[str, Any], bool]:
    """The same of one scheduler."""
    return name, inspect.getdoc(model) or "", model.model_json_schema(), model.has_closed_form


def spec_schema() -> dict[str, Any]:
    """The JSON schema of a spec; every object in it is in `$defs`."""
    schema = Spec.model_json_schema()
    # A spec is within itself, in an amendment: then the schema is a reference to one of its own definitions.
    return {**schema, **schema["$defs"]["Spec"]}


def curve_of(spec: dict[str, Any]) -> Curve:
    """A spec as a user writes it, ready to be computed."""
    return Curve(Schedule.of(spec))


def picture(specs: list[dict[str, Any]], kind: str, **options: Any) -> bytes:
    """What the service draws: the first spec, and the others beside it."""
    return render([curve_of(spec) for spec in specs], PlotOptions(**options), kind)


def lint_rules() -> list[tuple[str, str]]:
    """Name and docstring of every lint rule, then what an `error` and the other findings are called."""
    rules = [(rule.__name__.replace("_", "-"), inspect.getdoc(rule) or "") for rule in RULES]
    return [*rules, *((kind, f"As an error: {about}") for kind, (about, _) in REFUSALS.items()), *OTHERS.items()]


def settings() -> list[tuple[str, str, str]]:
    """Environment variable, default and help of every setting."""
    return [
        (
            f"PREHEAT_{name.upper()}",
            "a file in the user's data folder" if name == "database_url" else _default(field.default),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def scopes() -> list[tuple[str, str, list[str]]]:
    """Name, meaning and included scopes of every scope of a key."""
    return [
        (name, meaning.admits, [other for other in SCOPES if other in meaning.includes])
        for name, meaning in SCOPES.items()
    ]


def _default(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value in {None, "", ()} else str(value)


def metrics() -> list[tuple[str, str, str]]:
    """Name, type and help of every metric of the service, as /metrics has them."""
    found = Metrics("")
    found.watch_caches({})
    found.watch_runs(dict)
    found.watch_lost_log_lines(int)
    suffixes = {"counter": "_total", "info": "_info"}
    return [
        (f"{family.name}{suffixes.get(family.type, '')}", family.type, family.documentation)
        for family in found.registry.collect()
        if not family.name.startswith("process_")
    ]


def client_options() -> list[tuple[str, str, str, str]]:
    """Argument, environment variable, default and help of every option of the client."""
    return configuration_rows()


def openapi() -> Any:
    """The OpenAPI document of a service with default settings."""
    return create_app(Settings(database_url="sqlite:///:memory:")).openapi()


def problems() -> list[tuple[str, int, str, str]]:
    """Kind, status, title and meaning of every problem document that is ours."""
    own = [
        (error.kind, int(error.status), error.title, inspect.getdoc(error) or "")
        for error in PreheatError.__subclasses__()
    ]
    return [
        ("invalid-spec", 422, "The spec breaks rules", "`errors` has a JSON pointer and a rule for each value."),
        ("invalid-parameter", 422, "A parameter breaks rules", "`errors` names each query or path parameter."),
        *own,
    ]


def commands() -> dict[str, Any]:
    """The command line's commands by name, as click has them; those of a group behind its name and its arguments."""
    return _commands("", typer.main.get_command(command_line))


def _commands(path: str, command: Any) -> dict[str, Any]:
    below = getattr(command, "commands", None)
    if below is None:
        return {path: command}
    words = [path, *(each.metavar for each in command.params if each.param_type_name == "argument")]
    found: dict[str, Any] = {}
    for name, each in below.items():
        found |= _commands(" ".join([*words, name]).strip(), each)
    return found
