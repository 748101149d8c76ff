"""Generated parts of pages, as Markdown: one function for each name that a marker line can have."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

import curves
import facts
import live_run

BENCHMARKS = Path(__file__).parents[1] / "benchmarks.json"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    lines += [" | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def scheduler_overview() -> str:
    """Name, formula and kind of every scheduler."""
    rows = (
        (f"[`{name}`](#{name.lower()})", _sentence(about), "closed" if is_closed else "stepped")
        for name, about, _, is_closed in facts.schedulers()
    )
    return table(("`type`", "LR", "kind"), rows)


def schedulers() -> str:
    """A section for every scheduler: curve, formula, parameters, example."""
    return "\n\n".join(scheduler(name, about, schema) for name, about, schema, _ in facts.schedulers())


def scheduler(name: str, about: str, schema: dict[str, Any]) -> str:
    """The section of one scheduler."""
    spec = curves.example(name, schema)
    return "\n\n".join(
        [
            f"({name.lower()})=\n## {name}",
            curves.svg(spec),
            _escaped(about),
            fields_of(schema),
            f"```json\n{_in_lines(spec)}\n```",
        ]
    )


def fields_of(schema: dict[str, Any]) -> str:
    """Name, type, default and meaning of an object's fields."""
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _type(field), "required" if name in required else _default(field), field.get("description", ""))
        for name, field in schema.get("properties", {}).items()
        if name != "type"
    ]
    return table(("field", "type", "default", "meaning"), rows) if rows else "It has no parameters."


def spec_fields() -> str:
    """The fields of a spec and of the objects in it, schedulers left out."""
    schema = facts.spec_schema()
    parts = [fields_of(schema)]
    for name in _reached(schema, schema["$defs"], {"Spec", *(name for name, *_ in facts.schedulers())}):
        part = schema["$defs"][name]
        parts.append(f"## {name}\n\n{_escaped(part.get('description', ''))}\n\n{fields_of(part)}")
    return "\n\n".join(parts)


def _reached(schema: dict[str, Any], definitions: dict[str, Any], without: set[str]) -> list[str]:
    """Names of the objects that a schema refers to, directly or not, in the order of its text."""
    found: list[str] = []
    for name in re.findall(r"#/\$defs/(\w+)", json.dumps(schema.get("properties", {}))):
        if name in without | {"AfterScheduler"} or "properties" not in definitions[name]:
            continue
        found += [name, *_reached(definitions[name], definitions, without)]
    return list(dict.fromkeys(found))


def recipes() -> str:
    """A list of all, and a section for every recipe: curve, source, notes, spec."""
    rows = ((f"[`{recipe.name}`](#{recipe.name})", _escaped(recipe.title)) for recipe in facts.recipes().values())
    parts = [table(("`recipe`", "what it trains"), rows)]
    for recipe in facts.recipes().values():
        text = yaml.safe_dump(recipe.spec, sort_keys=False, allow_unicode=True).rstrip()
        parts += [
            f"({recipe.name})=\n## {recipe.name}",
            f"{_escaped(recipe.title)}. Source: {_escaped(recipe.source)}. {_escaped(recipe.notes)}",
            curves.svg({"recipe": recipe.name}),
            f"```yaml\n{text}\n```",
        ]
    return "\n\n".join(parts)


def lint_rules() -> str:
    """Name and meaning of every lint rule."""
    return table(("rule", "what it reports"), ((f"`{name}`", _sentence(about)) for name, about in facts.lint_rules()))


def settings() -> str:
    """Variable, default and meaning of every setting."""
    rows = ((f"`{variable}`", f"{default}", about) for variable, default, about in facts.settings())
    return table(("variable", "default", "meaning"), rows)


def scopes() -> str:
    """Name, meaning and included scopes of every scope of a key."""
    rows = ((f"`{name}`", about, ", ".join(f"`{each}`" for each in others)) for name, about, others in facts.scopes())
    return table(("scope", "admits", "includes"), rows)


def metrics() -> str:
    """Name, type and meaning of every metric."""
    rows = ((f"`{name}`", kind, _escaped(about)) for name, kind, about in facts.metrics())
    return table(("metric", "type", "meaning"), rows)


def client_options() -> str:
    """Argument, variable, default and meaning of every option of the client."""
    rows = (
        (f"`{name}`", f"`{variable}`" if variable else "", default, about)
        for name, variable, default, about in facts.client_options()
    )
    return table(("argument", "variable", "default", "meaning"), rows)


def problems() -> str:
    """Every problem document of the service."""
    rows = (
        (f"`urn:preheat:{kind}`", str(status), title, _sentence(about))
        for kind, status, title, about in facts.problems()
    )
    return table(("type", "status", "title", "meaning"), rows)


def routes() -> str:
    """A section for every route: parameters and answers."""
    document = facts.openapi()
    overview = table(
        ("route", "gives"),
        (
            (f"[`{method.upper()} {path}`](#{operation['operationId']})", operation["summary"])
            for path, method, operation in _operations(document)
        ),
    )
    return "\n\n".join([overview, *(_route(*each) for each in _operations(document))])


def commands() -> str:
    """A section for every command of the command line."""
    parts = []
    for name, command in facts.commands().items():
        rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
        parts += [f"## preheat {name}", _escaped(command.help or "")]
        parts += [table(("argument or option", "meaning"), rows)] if rows else []
    return "\n\n".join(parts)


def _parameter(parameter: Any) -> tuple[str, str]:
    """An argument or an option of a command, and its help with the default."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`", _escaped(parameter.help or "")
    about = parameter.help or ""
    is_told = parameter.default is None or parameter.default is False or "[default" in about
    default = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    is_told = is_told and default is parameter.default
    shown = about if is_told else f"{about} [default: {default}]"
    return ", ".join(f"`{option}`" for option in parameter.opts), _escaped(shown)


def benchmarks() -> str:
    """Where and when the benchmarks ran, and a table for each of them."""
    found = json.loads(BENCHMARKS.read_text(encoding="utf-8"))
    machine = ", ".join(f"{name} {value}" for name, value in found["machine"].items())
    parts = [f"Measured {found['date']} at commit `{found['commit']}` on: {machine}. {found.get('note', '')}"]
    names = list(dict.fromkeys(row["benchmark"] for row in found["ratios"]))
    for name in names:
        rows = [
            (
                row["what"],
                f"{row['ours']:,.4g} {row['unit']}",
                row["peer"],
                f"{row['peers']:,.4g} {row['unit']}",
                f"{row['ours'] / row['peers']:.3g}×",
                row["goal"] and f"{row['goal']}×",
                {None: "", True: "reached", False: "missed"}[row["is_reached"]],
            )
            for row in found["ratios"]
            if row["benchmark"] == name
        ]
        parts += [f"## {name}", table(("what", "ours", "beside", "its", "ratio", "goal", ""), rows)]
    return "\n\n".join(parts)


GENERATED: dict[str, Callable[[], str]] = {
    "scheduler-overview": scheduler_overview,
    "schedulers": schedulers,
    "spec-fields": spec_fields,
    "recipes": recipes,
    "lint-rules": lint_rules,
    "settings": settings,
    "scopes": scopes,
    "metrics": metrics,
    "client-options": client_options,
    "problems": problems,
    "routes": routes,
    "commands": commands,
    "benchmarks": benchmarks,
    "run-horizon": live_run.horizon_svg,
}
"""What a page can ask for."""

_UNBOUNDED = 1e15
"""A bound from here on says nothing to a reader."""

MARKER = "*Generated from the code by `make docs`: {}.*"
"""The line that a part replaces; it tells a reader of the source where the part is."""

_MARKER = re.compile(re.escape(MARKER).replace(r"\{\}", "([a-z-]+)"))


def filled_in(text: str) -> str:
    """A page with every marker replaced. Raises KeyError for a name that is not in GENERATED."""
    return _MARKER.sub(lambda marker: GENERATED[marker[1]](), text)


def _operations(document: dict[str, Any]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    return (
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "operationId" in operation
    )


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"({operation['operationId']})=\n## {method.upper()} {path}", _escaped(operation["summary"]) + "."]
    about = operation.get("description", "")
    if about and about != operation["summary"]:
        parts.append(_escaped(about))
    parameters = [
        (f"`{each['name']}`", each["in"], _type(each["schema"]), each.get("description", ""))
        for each in operation.get("parameters", [])
    ]
    if parameters:
        parts.append(table(("parameter", "in", "type", "meaning"), parameters))
    answers = [
        (status, answer["description"], ", ".join(f"`{media}`" for media in answer.get("content", {})))
        for status, answer in operation["responses"].items()
    ]
    parts.append(table(("status", "meaning", "media type"), answers))
    return "\n\n".join(parts)


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        names = [_type(option) for option in options if option.get("type") != "null"]
        is_duration = any(name.startswith("integer") for name in names)
        names = ["duration" if is_duration and name == "string" else name for name in names]
        return " or ".join(dict.fromkeys(names))
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[key]:g}" for key, sign in bounds.items() if key in schema and schema[key] < _UNBOUNDED]
    return " ".join([str(schema.get("type", "any")), *limits])


def _default(schema: dict[str, Any]) -> str:
    default = schema.get("default")
    return "" if default is None or isinstance(default, dict) else f"`{json.dumps(default, ensure_ascii=False)}`"


def _sentence(about: str) -> str:
    """The first paragraph of a docstring, safe in Markdown."""
    return _escaped(" ".join(about.split("\n\n", maxsplit=1)[0].split()))


def _in_lines(spec: dict[str, Any]) -> str:
    """A spec as JSON, one line for each of its fields."""
    lines = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in spec.items())
    return "{\n" + ",\n".join(lines) + "\n}"


def _escaped(text: str) -> str:
    """Text whose asterisks, underscores and angle brackets mean themselves, `code` apart."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<\[\]$])", r"\\\1", part) for part in parts)
