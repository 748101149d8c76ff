"""The README's tables as the code has them."""

import ast
import inspect
from pathlib import Path
from typing import Any

import typer
from pydantic_core import PydanticUndefined

from preheat.cli import app as command_line
from preheat.settings import Settings
from preheat.spec.after_scheduler import SCHEDULER_TYPES

ROOT = Path(__file__).parents[1]


def settings_rows() -> list[str]:
    """Environment variable, default, what it is."""
    return [
        f"| `PREHEAT_{name.upper()}` | {_default(name, field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]


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
        rows.append(f"| `{name}` | {parameters} | {formula} | {'closed' if model.has_closed_form else 'stepped'} |")
    return rows


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


def house_lines() -> list[str]:
    """Every module with its first line."""
    lines = []
    for base in (ROOT / "service/preheat", ROOT / "clients/python/preheat_client"):
        lines.append(f"{base.relative_to(ROOT)}/")
        modules = [path for path in base.rglob("*.py") if path.name != "__init__.py"]
        for path in sorted(modules, key=lambda path: (str(path.parent), path.name)):
            first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
            lines.append(f"  {path.relative_to(base)!s:35}{first}")
    return lines


def _default(name: str, default: Any) -> str:
    return "a file in the user's data folder" if name == "database_url" else f"{default}"


def _number(default: Any) -> str:
    return f"{default:.4g}" if isinstance(default, float) else str(default)
