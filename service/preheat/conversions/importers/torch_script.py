"""Scripts with torch schedulers: what Python text makes of optimizers and schedulers, read and never run."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import optim

from preheat.conversions.imported import NotCarried
from preheat.conversions.importers.torch_arguments import (
    CLASSES,
    FUNCTIONS,
    GRADUAL,
    Made,
    as_expression,
    check_class,
    check_parameter,
    left_out,
    made,
    of_transformers,
    parameters,
    parameters_of,
)
from preheat.conversions.importers.torch_script_names import (
    Names,
    agreed,
    bound_by,
    check_by_hand,
    check_changes,
    check_late_names,
    check_names,
    last_lines,
    may_be_skipped,
    outside,
    ways_through,
    without_rebound,
)
from preheat.conversions.number import number
from preheat.conversions.python_values import NotAValue, PythonValues, name_of, parsed
from preheat.errors import NotImportable
from preheat.messages import excerpt
from preheat.specs.fields import MAX_PARAM_GROUPS

# A class so named and not of torch is refused: to skip it would import half of a schedule.
_LIKE_A_SCHEDULER = re.compile(r"(LR|[Ss]chedulers?|[Ss]chedule|Warm[Uu]p|WarmRestarts|Restarts|Annealing)$")
_OF_TORCH = {name for name, kind in vars(optim).items() if inspect.isclass(kind)}
# Besides torch's own, those of other packages that take lr as their second argument as well.
_OPTIMIZERS = _OF_TORCH | {"Lion", "Lamb", "FusedAdam", "RMSpropTF"}
_LIKE_A_WRAPPER = re.compile(r"sched|warm", re.IGNORECASE)


@dataclass(frozen=True)
class _Optimizer:
    """LRs of an optimizer's param groups; none where they cannot be told."""

    lrs: tuple[float, ...]


def made_by(text: str) -> Made:
    """The scheduler of a script that no other contains, with its optimizer's LRs, and a note on what else it says.

    Raises NotImportable for several of those, and for what looks like a scheduler and is none of torch's.
    """
    script = _Script(text)
    found = script.outermost()
    lrs = found.lrs or (script.optimizers[0].lrs if len(script.optimizers) == 1 else ())
    return replace(found, lrs=lrs, notes=[*script.notes, *found.notes])


class _Script:
    """What has been read of a script: values by name, optimizers, schedulers, and notes on the rest."""

    def __init__(self, text: str) -> None:
        self.notes: list[NotCarried] = []
        self.optimizers: list[_Optimizer] = []
        self._values = PythonValues(self._call)
        self._functions: dict[str, ast.Lambda] = {}
        self._calls: dict[int, Any] = {}
        self._made: list[tuple[str, Made]] = []
        self._parts: set[int] = set()
        statements = parsed(text)
        check_by_hand(statements)
        check_names(statements, {*CLASSES, *_OF_TORCH})
        check_changes(statements, CLASSES)
        self._statements, self._last_lines = statements, last_lines(statements)
        self._read_all(statements)

    def outermost(self) -> Made:
        """The one scheduler that is no part of another."""
        outermost = [(text, each) for text, each in self._made if id(each) not in self._parts]
        if not outermost:
            raise NotImportable("source makes no scheduler of torch.optim.lr_scheduler")
        if len(outermost) > 1:
            texts = "; ".join(text for text, _ in outermost[:4])
            raise NotImportable(
                f"source makes {len(outermost)} schedulers ({texts}): keep the one to import, or combine them in a "
                "SequentialLR or ChainedScheduler"
            )
        return outermost[0][1]

    def _read_all(self, body: list[ast.stmt]) -> None:
        """Statements one after the other; blocks in their place, with the names that hold in them."""
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                self._read_class(statement)
                continue
            ways = ways_through(statement)
            if isinstance(statement, ast.FunctionDef):
                self._define(statement)
            if not ways:
                self._read(statement)
                continue
            before = self._held()
            ends = [self._read_way(way, before, statement) for way in ways]
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._hold(outside(before, ends[0], statement))
            else:
                self._hold(agreed([*ends, before] if may_be_skipped(statement) else ends))
            self._read_all(getattr(statement, "finalbody", None) or [])

    def _read_class(self, statement: ast.ClassDef) -> None:
        """A class: its own names are seen by no method, and by nothing after it; attributes are, by both."""
        before, own = self._held(), bound_by(statement)
        around = {name: held for name, held in before.items() if name not in own}
        for part in statement.body:
            self._hold(outside(around, self._held(), part))
            self._read_all([part])
        self._hold(outside(before, self._held(), statement))

    def _read_way(self, way: list[ast.stmt], before: Names, statement: ast.stmt) -> Names:
        """The names after one way through a statement, whose own names have no value that can be told."""
        own = bound_by(statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            # It may run before what stands below it, or after.
            own |= {name for name in before if self._last_lines.get(name, 0) > (statement.end_lineno or 0)}
        self._hold({name: held for name, held in before.items() if name not in own})
        self._read_all(way)
        return self._held()

    def _held(self) -> Names:
        # A function is a value like any other: `lf` of one branch must not stand for that of another.
        return {**self._values.held(), **{name: (each, 0) for name, each in self._functions.items()}}

    def _hold(self, names: Names) -> None:
        self._functions = {name: each for name, (each, _) in names.items() if isinstance(each, ast.Lambda)}
        self._values.hold({name: held for name, held in names.items() if name not in self._functions})

    def _read(self, statement: ast.stmt) -> None:
        value = getattr(statement, "value", None)
        targets: list[Any] = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
        pairs = list(_pairs(targets, value)) if isinstance(value, ast.expr) else []
        if isinstance(value, ast.Lambda):
            self._functions |= {ast.unparse(target): value for target in targets if target}
        else:
            self._read_pairs(pairs, statement)
        self._hold(without_rebound(self._held(), statement, [target for target, _ in pairs if target is not None]))

    def _read_pairs(self, pairs: list[tuple[ast.expr | None, ast.expr]], statement: ast.stmt) -> None:
        """Targets with their values, all of which are computed before the first target has its own."""
        before, after = self._held(), self._held()
        for target, part in pairs:
            self._hold(before)
            name = None if target is None else ast.unparse(target)
            if name is not None:
                self._functions.pop(name, None)
                after.pop(name, None)
            self._read_value(target, part, statement)
            after |= {found: held for found, held in self._held().items() if found == name}
        self._hold(after)

    def _read_value(self, target: ast.expr | None, value: ast.expr, statement: ast.stmt) -> None:
        """Gives a name its value; where there is none, at least the schedulers within are made."""
        if isinstance(statement, ast.AugAssign):
            value = ast.BinOp(statement.target, statement.op, value)
        self._check_lightning(value)
        try:
            if target is None:
                self._values.value(value)
            else:
                self._values.assign(target, value)
        except NotAValue:
            calls = list(_makers_within(value))
            for call in calls:
                self._call(call)
            if not calls and not isinstance(statement, ast.Return):
                self.notes.append(NotCarried(_text(statement), "makes no scheduler"))

    def _define(self, function: ast.FunctionDef) -> None:
        """A function of one argument that only returns an expression is as good as a lambda."""
        body = [line for line in function.body if not _is_docstring(line)]
        if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
            self._functions[function.name] = ast.Lambda(function.args, body[0].value)

    def _call(self, node: ast.Call) -> Any:
        """What a call makes, once: an optimizer, or a scheduler. Raises NotAValue for another."""
        # By identity: two calls of the same text make two schedulers.
        if id(node) in self._calls:  # a dict that is no value has been read up to the entry that is none
            return self._calls[id(node)]
        name = name_of(node.func)
        if name in _OPTIMIZERS:
            made_here: Any = self._optimizer(node)
            self.optimizers.append(made_here)
        elif _is_maker(name):
            made_here = self._scheduler(node, name)
            self._made.append((_text(node), made_here))
        else:
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if _LIKE_A_WRAPPER.search(name) and any(self._is_scheduler(argument) for argument in arguments):
                check_class(name, _text(node))
            raise NotAValue(name)
        self._calls[id(node)] = made_here
        return made_here

    def _scheduler(self, node: ast.Call, name: str) -> Made:
        if name in FUNCTIONS or name == "get_scheduler":
            given = self._arguments(node, parameters_of(name), name)
            lrs = self._lrs_of(given.pop("optimizer", None))
            own = {key: self._argument(value, f"{name}.{key}") for key, value in given.items()}
            return of_transformers(name, own, lrs)
        check_class(name, _text(node))
        given = self._arguments(node, parameters(name), name)
        for argument in given:
            check_parameter(name, argument)
        lrs = self._lrs_of(given.get("optimizer"))
        if name == "LambdaLR":
            return self._lambda(given, lrs)
        values: dict[str, Any] = {}
        for argument, value in given.items():
            if argument == "lr_lambda" and not isinstance(value, ast.Constant | ast.List):
                values[argument] = self._constant_factor(value)
            elif argument == "schedulers":
                values[argument] = self._schedulers(value)
            elif argument == "scale_fn":
                # a placeholder, since a function is no value; torch_arguments leaves it out with a note
                values[argument] = "code"
            elif argument != "optimizer":
                values[argument] = self._argument(value, f"{name}.{argument}")
        self._parts |= {
            id(each) for value in values.values() for each in (value if isinstance(value, list) else [value])
        }
        return made(name, values, lrs)

    def _is_scheduler(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Call):
            return _is_maker(name_of(node.func))
        value = self._values.known(ast.unparse(node))
        return any(isinstance(each, Made) for each in (value if isinstance(value, list) else [value]))

    def _schedulers(self, node: ast.expr) -> list[Made]:
        """The schedulers of a list, or of a name that stands for one."""
        if isinstance(node, ast.List | ast.Tuple):
            return [self._one_scheduler(item) for item in node.elts]
        reason = f"{_text(node)} must be a list of schedulers"
        value = self._argument(node, "", reason)
        if not isinstance(value, list) or not all(isinstance(entry, Made) for entry in value):
            raise NotImportable(reason)
        return value

    def _one_scheduler(self, node: ast.expr) -> Made:
        reason = f"{_text(node)} must be a scheduler of torch.optim.lr_scheduler"
        if isinstance(node, ast.Call):
            check_class(name_of(node.func), _text(node))
        value = self._argument(node, "", reason)
        if not isinstance(value, Made):
            raise NotImportable(reason)
        return value

    def _argument(self, node: ast.expr, where: str, reason: str = "") -> Any:
        try:
            return self._values.value(node)
        except NotAValue:
            raise NotImportable(reason or f"{where} ({_text(node)}) must be written out as a value") from None

    def _arguments(self, node: ast.Call, names: tuple[str, ...], kind: str) -> dict[str, ast.expr]:
        """The arguments of a call by the names of its parameters."""
        if any(isinstance(argument, ast.Starred) for argument in node.args) or None in {k.arg for k in node.keywords}:
            raise NotImportable(f"{kind} must have its arguments written out, without * or **")
        if len(node.args) > len(names):
            raise NotImportable(f"{kind} takes at most {len(names)} arguments, not {len(node.args)}")
        given = dict(zip(names, node.args, strict=False))
        return given | {str(keyword.arg): keyword.value for keyword in node.keywords}

    def _optimizer(self, node: ast.Call) -> _Optimizer:
        """LRs of the groups: each its own `lr`, or the optimizer's, which is its second argument."""
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        lr = self._lr(keywords.get("lr", node.args[1] if len(node.args) > 1 else None))
        groups = keywords.get("params", node.args[0] if node.args else None)
        if not isinstance(groups, ast.List | ast.Tuple) or not all(
            isinstance(group, ast.Dict) for group in groups.elts
        ):
            # model.parameters() and the like are one group
            return _Optimizer(() if lr is None else (lr,))
        lrs = [self._lr(_entry(group, "lr"), lr) for group in groups.elts if isinstance(group, ast.Dict)]
        return _Optimizer(() if None in lrs else tuple(each for each in lrs if each is not None))

    def _lr(self, node: ast.expr | None, default: float | None = None) -> float | None:
        if node is None:
            return default
        try:
            return number("lr", self._values.value(node))
        except (NotAValue, NotImportable):
            return None

    def _lrs_of(self, node: ast.expr | None) -> tuple[float, ...]:
        try:
            value = None if node is None else self._values.value(node)
        except NotAValue:
            return ()
        return value.lrs if isinstance(value, _Optimizer) else ()

    def _lambda(self, given: dict[str, ast.expr], lrs: tuple[float, ...]) -> Made:
        """A lambda of one argument becomes an expression of the scheduler's own iteration s; several, one per group."""
        function = given.get("lr_lambda")
        notes = [
            note
            for name in ("last_epoch", "verbose")
            if name in given
            for note in left_out("LambdaLR", name, self._argument(given[name], f"LambdaLR.{name}"))
        ]
        functions = function.elts if isinstance(function, ast.List | ast.Tuple) else [function]
        if len(functions) > MAX_PARAM_GROUPS:
            raise NotImportable(f"LambdaLR.lr_lambda must have at most {MAX_PARAM_GROUPS} entries")
        for each in functions:
            check_late_names(None if each is None else self._functions.get(ast.unparse(each), each), self._statements)
        found = [as_expression(each, self._functions, self._values) for each in functions]
        if len(found) == 1:
            return Made("LambdaLR", found[0], lrs=lrs, notes=notes)
        return Made("LambdaLR", by_group=found, lrs=lrs, notes=notes)

    def _constant_factor(self, node: ast.expr) -> float:
        function = self._functions.get(ast.unparse(node), node)
        reason = "MultiplicativeLR.lr_lambda must be a lambda of a constant: write it as an ExpressionLR"
        if not isinstance(function, ast.Lambda):
            raise NotImportable(reason)
        value = self._argument(function.body, "", reason)
        if not isinstance(function.body, ast.Constant) or isinstance(value, bool | str | None):
            raise NotImportable(reason)
        return float(value)

    def _check_lightning(self, value: ast.expr) -> None:
        """What Lightning's dict says of the scheduler's steps."""
        for node in ast.walk(value):
            if not isinstance(node, ast.Dict) or _entry(node, "scheduler") is None:
                continue
            interval = _entry(node, "interval")
            step = "epoch" if interval is None else ast.unparse(interval).strip("'")
            reason = "is what Lightning steps the scheduler by: an iteration of the spec is one of those"
            self.notes.append(NotCarried(f"interval {step}", reason))
            frequency = _entry(node, "frequency")
            if frequency is not None and not (isinstance(frequency, ast.Constant) and frequency.value == 1):
                raise NotImportable("frequency must be 1: Lightning steps the scheduler more rarely otherwise")


def _pairs(targets: list[ast.expr | None], value: ast.expr) -> Iterator[tuple[ast.expr | None, ast.expr]]:
    """Each target with its value: `a, b = 1, 2` has two."""
    for target in targets:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            yield from zip(target.elts, value.elts, strict=True)
        else:
            yield target, value


def _makers_within(node: ast.AST) -> Iterator[ast.Call]:
    """The outermost calls that make a scheduler or an optimizer, this one or within it."""
    if isinstance(node, ast.Call) and (_is_maker(name_of(node.func)) or name_of(node.func) in _OPTIMIZERS):
        yield node
    elif not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _makers_within(child)


def _is_maker(name: str) -> bool:
    """Whether a call of this name makes a scheduler, of torch or, as its name looks, another."""
    # A capital tells a class from a function of the script's own, such as make_scheduler.
    is_known = name in CLASSES or name in FUNCTIONS or name in {"get_scheduler", GRADUAL}
    return is_known or (name[:1].isupper() and _LIKE_A_SCHEDULER.search(name) is not None)


def _entry(node: ast.Dict, name: str) -> ast.expr | None:
    """The value of a text key of a dict that is written out."""
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == name:
            return value
    return None


def _is_docstring(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


def _text(node: ast.AST) -> str:
    return excerpt(ast.unparse(node))
