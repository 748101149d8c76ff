"""Arguments of commands: options that are a model's fields, spec files, settings; and how a mistake in them is told."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape

from preheat.errors import PreheatError
from preheat.settings import Settings
from preheat.specs import InvalidSpec, Spec, from_pydantic, parse_spec_file

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.curve import Curve

Model = TypeVar("Model", bound=BaseModel)

OUT, ERR = Console(), Console(stderr=True)

SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="File with a spec in JSON or YAML; - for stdin.")]


def with_options(model: type[BaseModel], names: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each named field of a model: type, default and help are the field's.

    The command's last parameter, `given`, gets those of them that were set, by name.
    """
    options = [_option(name, model.model_fields[name]) for name in names]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapper(**arguments: Any) -> None:
            values = {option.name: arguments.pop(option.name) for option in options}
            command(**arguments, given={name: value for name, value in values.items() if value is not None})

        own = [each for each in inspect.signature(command).parameters.values() if each.name != "given"]
        # Where typer looks first: a parameter for each option in the place of `given`.
        wrapper.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        return wrapper

    return decorate


def text_of(file: str) -> str:
    """The text of a file, or of stdin for `-`; ends the command if it cannot be read."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        fail(f"SPEC ({file}) cannot be read: {error.strerror}", code=2)
    except UnicodeDecodeError:
        fail(f"SPEC ({file}) must be UTF-8 text", code=2)


def parsed(spec_file: str) -> Spec:
    """The normalised spec in a file. Raises InvalidSpec."""
    return parse_spec_file(text_of(spec_file))


def curve_of(spec_file: str) -> "Curve":
    """The curve of the spec in a file; ends the command if it breaks rules."""
    try:
        return checked_curve(parsed(spec_file))
    except InvalidSpec as error:
        fail(*(violation.detail for violation in error.violations))


def checked_curve(spec: Spec) -> "Curve":
    """The curve of a spec, which must not be longer than the settings allow. Raises LimitExceeded."""
    from preheat.budget import check_length  # noqa: PLC0415
    from preheat.curve import Curve  # noqa: PLC0415 - imports torch
    from preheat.schedule import Schedule  # noqa: PLC0415

    check_length(spec, valid(Settings, {}))
    return Curve(Schedule(spec))


def valid(model: type[Model], given: dict[str, Any]) -> Model:
    """A model of what was given, such as the settings; ends the command if a value breaks rules."""
    try:
        return model(**given)
    except ValidationError as error:
        fail(*(violation.detail for violation in from_pydantic(error.errors())), code=2)


def failing(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which ends with the message of an error of ours and exit code 1."""

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except PreheatError as error:
            fail(str(error))

    return wrapper


def fail(*messages: str, code: int = 1) -> NoReturn:
    """Ends the command: 1 for what the input says, 2 for how the command was called."""
    for message in messages:
        ERR.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """The option of one field, which is None unless it was given: the model has the default."""
    default = "" if field.is_required() or field.default_factory or field.default is None else f"{field.default}"
    option = typer.Option(help=field.description, show_default=default or False)
    # typer knows neither pydantic's constraints nor an optional Literal with them.
    annotation = Annotated[_bare(field.annotation) | None, option]  # type: ignore[valid-type] # known when it runs
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _bare(annotation: Any) -> Any:
    """A type without pydantic's annotations and without None: what typer makes an option of."""
    parts = get_args(annotation)
    members = [part for part in parts if part is not type(None)]
    is_wrapped = get_origin(annotation) is Annotated or len(members) < len(parts)
    return _bare(members[0]) if is_wrapped else annotation
