"""The README's tables as the code has them."""

import inspect
from pathlib import Path
from typing import Any

import typer
from pydantic_core import PydanticUndefined

from after_schedulers import COMPOSITIONS, EXAMPLES, LEFT, SHAPES, WARMUP
from preheat.cli.app import app as command_line
from preheat.curve import Curve
from preheat.lint import RULES
from preheat.schedule import Schedule
from preheat.settings import Settings
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.recipes import recipes
from preheat_client._core.configuration import configuration_rows

ROOT = Path(__file__).parents[1]


def settings_rows() -> list[str]:
    """Environment variable, default, what it is."""
    return [
        f"| `PREHEAT_{name.upper()}` | {_default(name, field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


def client_rows() -> list[str]:
    """Argument of the client, environment variable, default, what it is."""
    rows = []
    for name, variable, default, about in configuration_rows():
        cells = (f"`{name}`", f"`{variable}`" if variable else "", default, about)
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def scheduler_rows() -> list[str]:
    """Name, parameters with defaults, formula, how an iteration is reached."""
    rows = []
    for name, model in SCHEDULER_TYPES.items():
        fields = {field: info for field, info in model.model_fields.items() if field != "type"}
        parameters = ", ".join(
            f"`{field}`" if info.default in {PydanticUndefined, None} else f"`{field}={_number(info.default)}`"
            for field, info in fields.items()
        )
        formula = (inspect.getdoc(model) or "").splitlines()[0].replace("|", "\\|")
        reached = "closed" if model.has_closed_form else "stepped"
        rows.append(f"| ![](.readme/shapes/{name}.svg) | `{name}` | {parameters} | {formula} | {reached} |")
    return rows


_RISES_BY_ITSELF = {
    "ChainedScheduler",
    "ConstantLR",
    "CyclicLR",
    "ExpressionLR",
    "NoamLR",
    "OneCycleLR",
    "PiecewiseLR",
    "RangeTestLR",
    "SequentialLR",
    "SlantedTriangularLR",
    "TableLR",
    "TriStageLR",
}


def thumbnails() -> dict[str, str]:
    """The curve of every scheduler as a small SVG, by name: the first example of each."""
    found: dict[str, str] = {}
    for example in [*EXAMPLES, *SHAPES, *COMPOSITIONS]:
        if example["type"] not in found:
            found[example["type"]] = _thumbnail(example)
    return found


def _thumbnail(after_scheduler: dict[str, Any]) -> str:
    warmup = 0 if after_scheduler["type"] in _RISES_BY_ITSELF else WARMUP
    spec = {"target_lr": 0.02, "total_iterations": warmup + LEFT, "warmup": {"iterations": warmup}}
    curve = Curve(Schedule.of(spec | {"after_scheduler": after_scheduler}))
    lrs = curve.window(0, curve.total_iterations + 1)[:, 0]
    height = 34 / float(lrs.max())
    points = " ".join(
        f"{1 + 120 * n / curve.total_iterations:g},{37 - lr * height:.1f}" for n, lr in enumerate(lrs.tolist())
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="122" height="40">'
        f'<polyline fill="none" stroke="#0072b2" stroke-width="1.5" points="{points}"/></svg>\n'
    )


def recipe_rows() -> list[str]:
    """Name, what it trains, source."""
    return [f"| `{recipe.name}` | {recipe.title} | {recipe.source} |" for recipe in recipes().values()]


def lint_rows() -> list[str]:
    """Name of the rule, what it finds."""
    return [f"| `{rule.__name__.replace('_', '-')}` | {(rule.__doc__ or '').splitlines()[0]} |" for rule in RULES]


def route_rows(document: Any) -> list[str]:
    """Method and path, what it gives; from the OpenAPI document."""
    return [
        f"| `{method.upper()} {path}` | {operation['summary']} |"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def command_rows() -> list[str]:
    """Command, what it does."""
    commands: Any = typer.main.get_command(command_line)
    return [f"| `preheat {name}` | {command.help.splitlines()[0]} |" for name, command in commands.commands.items()]


def _default(name: str, default: Any) -> str:
    return "a file in the user's data folder" if name == "database_url" else f"{default}"


def _number(default: Any) -> str:
    return f"{default:.4g}" if isinstance(default, float) else str(default)


if __name__ == "__main__":
    for shape, picture in thumbnails().items():
        (ROOT / f".readme/shapes/{shape}.svg").write_text(picture, encoding="utf-8")
