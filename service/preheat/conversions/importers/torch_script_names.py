"""Names of a script: which values hold in a block and after it, where none of the script is run."""

import ast
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from typing import Any

from preheat.errors import NotImportable
from preheat.messages import excerpt

_CHANGING = {"append", "clear", "extend", "insert", "pop", "remove", "reverse", "setdefault", "sort", "update"}
"""Methods that change a list or a dict."""

_PLACES = {"last_epoch", "_step_count"}
"""Attributes of a scheduler that say where it is in its run, as they are set to go on."""

Names = dict[str, tuple[Any, int]]
"""What each name stands for, with the number of its parts."""


def ways_through(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The ways that a run may take through the blocks of a statement; none where it has no block."""
    match statement:
        case ast.If(body=body, orelse=orelse):
            return [body, orelse] if orelse else [body]
        case ast.Match(cases=cases):
            return [case.body for case in cases]
        case ast.Try() | ast.TryStar():
            return [[*statement.body, *statement.orelse], *(handler.body for handler in statement.handlers)]
    blocks = [block for name in ("body", "orelse") for block in getattr(statement, name, None) or []]
    return [blocks] if blocks else []


def may_be_skipped(statement: ast.stmt) -> bool:
    """Whether a run may go past all blocks of a statement."""
    is_open = isinstance(statement, ast.If) and not statement.orelse
    return is_open or isinstance(statement, ast.For | ast.AsyncFor | ast.While | ast.Match)


def bound_by(statement: ast.stmt) -> set[str]:
    """Names that have no one value within a statement: a function's parameters, a class's, and what a loop changes."""
    match statement:
        case ast.FunctionDef(args=given) | ast.AsyncFunctionDef(args=given):
            return _parameters(given)
        case ast.ClassDef(body=body):
            return set(_stored(_scope(body)))
        case ast.For() | ast.AsyncFor() | ast.While():
            return set(_stored(ast.walk(statement)))
        case ast.With(items=items) | ast.AsyncWith(items=items):
            return {name for item in items if item.optional_vars for name in _stored(ast.walk(item.optional_vars))}
    return set()


def without_rebound(names: Names, statement: ast.stmt, targets: list[ast.expr]) -> Names:
    """The names after a statement, less those that it binds otherwise than by assigning to `targets`."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        bound = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
        if "*" in bound:
            return {}
    else:
        bound = set(_stored(ast.walk(statement))) | set(_changed(statement))
    # what another object has under the same name is not what the old one had
    parts = tuple(f"{name}." for name in bound)
    lost = bound - {ast.unparse(target) for target in targets}
    return {name: held for name, held in names.items() if name not in lost and not name.startswith(parts)}


def agreed(ends: list[Names]) -> Names:
    """The names that stand for the same after each of several ways."""
    first, *others = ends
    return {
        name: held
        for name, held in first.items()
        if all(name in other and other[name][0] == held[0] for other in others)
    }


def outside(before: Names, within: Names, function: ast.stmt) -> Names:
    """The names after a function or a class: its own are gone, attributes that it set stay, unless they had others."""
    shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
    before = {name: held for name, held in before.items() if name not in shared}
    attributes = {name: held for name, held in within.items() if "." in name}
    same = {
        name: held
        for name, held in before.items()
        if "." not in name or (name in attributes and attributes[name][0] == held[0])
    }
    return same | {name: held for name, held in attributes.items() if name not in before}


def last_lines(statements: list[ast.stmt]) -> dict[str, int]:
    """The last line on which each name is assigned to, outside of functions and classes."""
    lines = dict[str, int]()
    for node in _scope(statements):
        for name in _stored([node]):
            lines[name] = max(getattr(node, "lineno", 0), lines.get(name, 0))
    return lines


def check_late_names(function: ast.expr | None, statements: list[ast.stmt]) -> None:
    """Refuses a lambda with a name that is assigned more than once: it takes the last value. Raises NotImportable."""
    if not isinstance(function, ast.Lambda):
        return
    own, assigned = _parameters(function.args), _assigned_around(function.body, statements)
    for node in ast.walk(function.body):
        name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if assigned[name] > 1 and name not in own:
            raise NotImportable(
                f"{excerpt(name)} is assigned more than once, and {excerpt(ast.unparse(function))} takes the last "
                "value that it has when it runs: write the value into the lambda"
            )


def check_names(statements: list[ast.stmt], known: Container[str]) -> None:
    """Refuses what a script makes under the name of a known class, and is another. Raises NotImportable."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    made = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        name = _renamed(node)
        if name in known and name in made:
            what = "a class of the script's own" if isinstance(node, ast.ClassDef) else "another name's in the script"
            raise NotImportable(f"{excerpt(name)} is {what}, and not torch's: give it another name")


def check_changes(statements: list[ast.stmt], schedulers: Container[str]) -> None:
    """Refuses an attribute of a scheduler that is set once it is made. Raises NotImportable."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    made = {
        ast.unparse(target)
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if ast.unparse(node.value.func).rpartition(".")[2] in schedulers
        for target in node.targets
    }
    for node in nodes:
        if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load) or node.attr in _PLACES:
            continue
        if ast.unparse(node.value) in made:
            raise NotImportable(
                f"{excerpt(ast.unparse(node))} is set after the scheduler is made: give it to the scheduler, or write "
                "what it does as another one"
            )


def check_by_hand(statements: list[ast.stmt]) -> None:
    """Refuses LRs that a script sets itself, beside its scheduler. Raises NotImportable."""
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_param_group":
            _check_group(node)
        is_loop = isinstance(node, ast.For) and "param_groups" in ast.unparse(node.iter)
        for each in ast.walk(node) if is_loop else [node]:
            for target in getattr(each, "targets", None) or [getattr(each, "target", None)]:
                if _is_lr(target) and (is_loop or "param_groups" in ast.unparse(target)):
                    raise NotImportable(
                        f"{excerpt(ast.unparse(each))} sets an LR besides the scheduler: remove it if it never runs, "
                        "or write what it does as a scheduler"
                    )


def _check_group(node: ast.Call) -> None:
    group = node.args[0] if node.args else None
    has_lr = not isinstance(group, ast.Dict) or any(
        not isinstance(key, ast.Constant) or key.value == "lr" for key in group.keys
    )
    if has_lr:
        raise NotImportable(
            f"{excerpt(ast.unparse(node))} may give a param group an LR of its own: write the group into the list that "
            "the optimizer is made of"
        )


def _is_lr(target: Any) -> bool:
    """Whether an assignment is to the entry lr of something."""
    return isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant) and target.slice.value == "lr"


def _renamed(node: ast.AST) -> str:
    """The name that a node gives to something of another name; empty if it gives none."""
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)], value=of) if ast.unparse(of).rpartition(".")[2] != name:
            return name
        case ast.alias(name=imported, asname=str(name)) if imported.rpartition(".")[2] != name:
            return name
    return ""


def _parameters(given: ast.arguments) -> set[str]:
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {each.arg for each in every if each is not None}


def _assigned_around(part: ast.AST, statements: list[ast.stmt]) -> Counter[str]:
    """How often each name is assigned to that a part of a script can see; an attribute is seen from everywhere."""
    assigned = Counter(_stored(_scope(statements)))
    for node in (node for statement in statements for node in ast.walk(statement)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within = list(ast.walk(node))
            is_around = any(each is part for each in within)
            shared = {name for each in within if isinstance(each, ast.Global | ast.Nonlocal) for name in each.names}
            names = _stored(_scope(node.body))
            assigned.update(name for name in names if is_around or name in shared or "." in name)
    return assigned


def _scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Nodes with all that is within them, but for what functions and classes among them have within."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            # Its own names stay within; what := assigns does not.
            waiting += [each.target for each in ast.walk(node) if isinstance(each, ast.NamedExpr)]
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """The names of lists and dicts that a statement changes."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            yield ast.unparse(node.value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            yield ast.unparse(node.func.value)


def _stored(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The names among nodes that are assigned to, or deleted."""
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            yield ast.unparse(node)
