"""Arguments of commands: specs and recipes, options that are a model's fields; and how a mistake in them is told."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from preheat.cli.output import fail
from preheat.errors import PreheatError
from preheat.settings import Settings
from preheat.specs import InvalidSpec, Spec, from_pydantic, spec_of
from preheat.specs.parse import content_of_file
from preheat.specs.recipes import recipes

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.curve import Curve

Model = TypeVar("Model", bound=BaseModel)
Command = Callable[..., Any]


@dataclass(frozen=True)
class SpecArgument:
    """A spec that a command was given: the file of it, or a recipe with changes."""

    name: str
    is_recipe: bool = False
    changes: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property  # once: stdin cannot be read again
    def written(self) -> Any:
        """The spec as it was written. Raises InvalidSpec; ends the command if the file cannot be read."""
        return {"recipe": self.name, **self.changes} if self.is_recipe else content_of_file(text_of(self.name))

    def parsed(self) -> Spec:
        """The normalised spec. Raises as `written`."""
        return spec_of(self.written)

    def curve(self) -> "Curve":
        """The curve. Raises as `written`, and LimitExceeded."""
        return checked_curve(self.parsed())


def _recipe_names(begin: str) -> list[str]:
    return [name for name in recipes() if name.startswith(begin)]


_FILES = typer.Argument(metavar="SPEC", help="File with a spec in JSON or YAML; - for stdin.", show_default=False)
_RECIPES = typer.Option(
    "--recipe", metavar="NAME", help="A recipe, instead of a file.", autocompletion=_recipe_names, show_default=False
)
_TARGET_LR = typer.Option("--target-lr", help="Target LR of the recipe, if not its own.")
_TOTAL = typer.Option("--total-iterations", metavar="DURATION", help="Length of the recipe's run: 2000, say, or 90ep.")
RecipeName = Annotated[str | None, typer.Argument(help="Show this one, as a spec.", autocompletion=_recipe_names)]


def with_specs(least: int, most: int | None = None, *, is_first: bool = True) -> Callable[[Command], Command]:
    """Gives a command, as its parameter `specs`, the SPEC files and recipes that it is called with.

    There must be at least `least` of them and, where `most` is not None, at most `most`. They come before its own
    arguments, or after them.
    """
    added = [
        parameter("files", Annotated[list[str] | None, _FILES]),
        parameter("recipe", Annotated[list[str] | None, _RECIPES]),
        parameter("target_lr", Annotated[float | None, _TARGET_LR]),
        parameter("total_iterations", Annotated[str | None, _TOTAL]),
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(**arguments: Any) -> Any:
            specs = _specs(*(arguments.pop(parameter.name) for parameter in added))
            if len(specs) < least or (most is not None and len(specs) > most):
                wanted = "one SPEC" if most == 1 else f"{least} SPECs" if least == most else f"at least {least} SPEC"
                fail(f"{wanted} or --recipe must be given, not {len(specs)}", code=2)
            return command(specs=specs, **arguments)

        return with_parameters(wrapper, command, "specs", added, is_first=is_first)

    return decorate


def with_options(model: type[BaseModel], names: Iterable[str]) -> Callable[[Command], Command]:
    """Gives a command an option for each named field of a model: type, default and help are the field's.

    The command's parameter `given` gets those of them that were set, by name.
    """
    options = [_option(name, model.model_fields[name]) for name in names]
    context_parameter = parameter("context", typer.Context, inspect.Parameter.empty)

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(context: typer.Context, **arguments: Any) -> None:
            values = {option.name: arguments.pop(option.name) for option in options}
            # A default is the model's to fill in, after the environment.
            given = {name: value for name, value in values.items() if _is_given(context, name)}
            command(**arguments, given=given)

        return with_parameters(wrapper, command, "given", [context_parameter, *options])

    return decorate


def text_of(file: str, argument: str = "SPEC") -> str:
    """The text of a file, or of stdin for `-`; ends the command, with the argument's name, if it cannot be read."""
    try:
        return (sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()).decode()
    except OSError as error:
        is_recipe = argument == "SPEC" and file in recipes()
        advice = f"; there is a recipe of this name: --recipe {file}" if is_recipe else ""
        fail(f"{argument} ({file}) cannot be read: {error.strerror}{advice}", code=2)
    except UnicodeDecodeError:
        fail(f"{argument} ({file}) must be UTF-8 text", code=2)


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


def failing(command: Command) -> Command:
    """The command, which ends with the message of an error of ours, or with every rule broken, and exit code 1."""

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except InvalidSpec as error:
            fail(*(violation.detail for violation in error.violations))
        except PreheatError as error:
            fail(str(error))

    return wrapper


def with_parameters(
    wrapper: Command, command: Command, replaced: str, added: list[inspect.Parameter], *, is_first: bool = False
) -> Command:
    """The wrapper with the command's parameters, but for the replaced one, and those that were added."""
    parameters = inspect.signature(command).parameters.values()
    # By keyword alone: typer calls so, and then any order will do.
    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters if each.name != replaced]
    signature = inspect.Signature([*added, *own] if is_first else [*own, *added])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper


def parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    """A parameter of a command, as typer's annotation has it."""
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _specs(
    files: list[str] | None, names: list[str] | None, target_lr: float | None, total_iterations: str | None
) -> list[SpecArgument]:
    """Files first, then recipes, each with the changes."""
    changes: dict[str, Any] = {}
    if target_lr is not None:
        changes["target_lr"] = target_lr
    if total_iterations is not None:
        # As it would read in a file: 2000 is a number, and so is 1e6.
        changes["total_iterations"] = content_of_file(total_iterations)
    if changes and not names:
        fail("--target-lr and --total-iterations are for --recipe: a SPEC says its own", code=2)
    return [*map(SpecArgument, files or []), *(SpecArgument(name, True, changes) for name in names or [])]


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """The option of one field, with its default if that is a plain value."""
    default = None if field.is_required() or field.default_factory else field.default
    # typer knows neither pydantic's constraints nor an optional Literal with them.
    # A flag says what is so by being there: typer would add one that says the opposite.
    names = [f"--{name.replace('_', '-')}"] if field.annotation is bool else []
    option = typer.Option(*names, help=field.description)
    return parameter(name, Annotated[_bare(field.annotation) | None, option], default)


def _bare(annotation: Any) -> Any:
    """A type without pydantic's annotations and without None: what typer makes an option of."""
    parts = get_args(annotation)
    members = [part for part in parts if part is not type(None)]
    is_wrapped = get_origin(annotation) is Annotated or len(members) < len(parts)
    return _bare(members[0]) if is_wrapped else annotation
