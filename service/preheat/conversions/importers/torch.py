"""Torch's schedulers: the text that makes them, or the state that they save."""

import ast
import inspect
from contextlib import suppress
from typing import Any

from torch.optim import lr_scheduler, swa_utils

from preheat.conversions.source import Imported, Known, NotCarried, target_lr, total_iterations
from preheat.errors import NotImportable
from preheat.formula.language import checked, compiled, substituted
from preheat.specs.after_schedulers import SCHEDULER_TYPES

_NO_PLACE = {
    "optimizer": "",
    "last_epoch": "a schedule begins at its iteration 0; ask for a later iteration instead",
    "verbose": "nothing is printed",
    "scale_fn": "is code",
    "scale_mode": "belongs to scale_fn",
}
_MAX_CHARACTERS = 20_000


def from_torch(source: Any, known: Known) -> Imported:
    """A spec from Python text such as `CosineAnnealingLR(optimizer, T_max=90)`, or from a state_dict.

    The text may have several lines, each `name = Scheduler(…)`; the last is the schedule. Nothing of it is run.
    """
    if isinstance(source, dict):
        return _from_state(source, known)
    if not isinstance(source, str):
        raise NotImportable("source must be Python text with a torch scheduler, or a state_dict")
    script = _Script(source)
    after = script.schedule
    spec = {
        "target_lr": target_lr(known, _peak(after)),
        "total_iterations": total_iterations(known, _length(after)),
        "after_scheduler": after,
    }
    return Imported(spec, script.not_carried)


class _Script:
    """The schedulers that a text makes, by name."""

    def __init__(self, text: str) -> None:
        self.not_carried: list[NotCarried] = []
        self._names: dict[str, dict[str, Any]] = {}
        self.schedule: dict[str, Any] = {}
        if len(text) > _MAX_CHARACTERS:
            raise NotImportable(f"source must have at most {_MAX_CHARACTERS} characters")
        try:
            statements = ast.parse(text.strip()).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise NotImportable(f"source is not Python: {getattr(error, 'msg', 'too deeply nested')}") from None
        for statement in statements:
            self._read(statement)
        if not self.schedule:
            raise NotImportable("source makes no scheduler of torch.optim.lr_scheduler")

    def _read(self, statement: ast.stmt) -> None:
        value = statement.value if isinstance(statement, ast.Expr | ast.Assign) else None
        if isinstance(value, ast.Call) and _name(value.func) in _CLASSES:
            self.schedule = self._scheduler(value)
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self._names[ast.unparse(target)] = self.schedule
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            self.not_carried.append(NotCarried(_short(statement), "makes no scheduler"))

    def _scheduler(self, node: ast.expr) -> dict[str, Any]:
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in self._names:
            return self._names[ast.unparse(node)]
        if not isinstance(node, ast.Call) or _name(node.func) not in _CLASSES:
            raise NotImportable(f"{_short(node)} must be a scheduler of torch.optim.lr_scheduler")
        kind = _name(node.func)
        if kind == "ReduceLROnPlateau":
            raise NotImportable("ReduceLROnPlateau follows a metric: its LR is no function of the iteration")
        if kind == "LambdaLR":
            return self._lambda(node)
        spec: dict[str, Any] = {"type": kind}
        for name, value in self._arguments(node, kind).items():
            if name in _NO_PLACE or name not in SCHEDULER_TYPES[kind].model_fields:
                self._leave(kind, name, value)
            elif name == "schedulers":
                spec[name] = [self._scheduler(child) for child in _items(value)]
            elif name == "lr_lambda" and not isinstance(value, ast.Constant | ast.List):
                spec[name] = self._constant_factor(value)
            else:
                spec[name] = _literal(value, f"{kind}.{name}")
        return spec

    def _arguments(self, node: ast.Call, kind: str) -> dict[str, ast.expr]:
        if any(isinstance(argument, ast.Starred) for argument in node.args) or None in {k.arg for k in node.keywords}:
            raise NotImportable(f"{kind} must have its arguments written out, without * or **")
        names = list(inspect.signature(_CLASSES[kind]).parameters)
        if len(node.args) > len(names):
            raise NotImportable(f"{kind} takes at most {len(names)} arguments, not {len(node.args)}")
        given = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg not in {*names, "verbose"}:
                raise NotImportable(f"{kind} has no parameter {keyword.arg} (it has {', '.join(names)})")
            given[str(keyword.arg)] = keyword.value
        return given

    def _lambda(self, node: ast.Call) -> dict[str, Any]:
        """A lambda of one argument becomes an expression of the scheduler's own iteration s."""
        given = self._arguments(node, "LambdaLR")
        function = given.get("lr_lambda")
        if not isinstance(function, ast.Lambda) or len(function.args.args) != 1:
            raise NotImportable("LambdaLR.lr_lambda must be written as a lambda of one argument: write it as a formula")
        name = function.args.args[0].arg
        try:
            formula = checked(ast.unparse(_WithoutMath().visit(function.body)), {name})
        except ValueError as error:
            raise NotImportable(f"LambdaLR.lr_lambda {error}") from None
        for parameter, value in given.items():
            if parameter != "lr_lambda":
                self._leave("LambdaLR", parameter, value)
        return {"type": "ExpressionLR", "expression": substituted(formula, {name: "s"})}

    def _constant_factor(self, node: ast.expr) -> float:
        if isinstance(node, ast.Lambda) and isinstance(node.body, ast.Constant):
            return float(_literal(node.body, "MultiplicativeLR.lr_lambda"))
        raise NotImportable("MultiplicativeLR.lr_lambda must be a lambda of a constant: write it as an ExpressionLR")

    def _leave(self, kind: str, name: str, value: ast.expr) -> None:
        reason = _NO_PLACE.get(name, "has no place in a spec")
        is_default = name == "last_epoch" and ast.unparse(value) == "-1"
        if reason and not is_default and ast.unparse(value) not in {"None", "False"}:
            self.not_carried.append(NotCarried(f"{kind}.{name}", reason))


class _WithoutMath(ast.NodeTransformer):
    """math.cos and np.cos are cos."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in {"math", "np", "numpy", "torch"}:
            return ast.Name(node.attr, ast.Load())
        return node


def _from_state(state: dict[str, Any], known: Known) -> Imported:
    """A spec from what `state_dict()` of a scheduler gave."""
    kind = next((kind for kind, names in _STATES.items() if names <= set(state)), None)
    if kind is None:
        raise NotImportable(
            f"the state has none of the fields that tell a scheduler ({', '.join(sorted(state))[:200]})"
        )
    model = SCHEDULER_TYPES[kind].model_fields
    after: dict[str, Any] = {"type": kind}
    for name, value in state.items():
        if name in model and name != "type":
            after[name] = _milestones(value) if name == "milestones" else value
    if kind == "CyclicLR":
        after |= {"base_lr": _one(state["base_lrs"]), "max_lr": _one(state["max_lrs"])}
        up = round(state["total_size"] * state["step_ratio"])
        after |= {"step_size_up": up, "step_size_down": round(state["total_size"]) - up}
        after |= {
            "base_momentum": _one(state.get("base_momentums", 0.8)),
            "max_momentum": _one(state.get("max_momentums", 0.9)),
        }
    base_lrs = state.get("base_lrs") or [None]
    spec: dict[str, Any] = {
        "target_lr": target_lr(known, base_lrs[0]),
        "total_iterations": total_iterations(known, _length(after)),
        "after_scheduler": after,
    }
    if len(base_lrs) > 1 and known.target_lr is None:
        spec["param_groups"] = [{"target_lr": lr} for lr in base_lrs]
    carried = {*model, "base_lrs", "max_lrs", "total_size", "step_ratio", "base_momentums", "max_momentums"}
    reason = "is where the run stands, or how torch computes it, not what the schedule is"
    return Imported(spec, [NotCarried(name, reason) for name in sorted(set(state) - carried)])


_CLASSES: dict[str, Any] = {
    **{
        name: kind
        for name, kind in vars(lr_scheduler).items()
        if isinstance(kind, type) and (name in SCHEDULER_TYPES or name in {"LambdaLR", "ReduceLROnPlateau"})
    },
    "SWALR": swa_utils.SWALR,
}

_STATES: dict[str, set[str]] = {
    "CosineAnnealingWarmRestarts": {"T_0", "T_mult", "eta_min"},
    "CosineAnnealingLR": {"T_max", "eta_min"},
    "StepLR": {"step_size", "gamma"},
    "MultiStepLR": {"milestones", "gamma", "base_lrs"},
    "LinearLR": {"start_factor", "end_factor", "total_iters"},
    "ConstantLR": {"factor", "total_iters"},
    "PolynomialLR": {"total_iters", "power"},
    "CyclicLR": {"total_size", "step_ratio", "max_lrs", "mode", "gamma"},
    "ExponentialLR": {"gamma", "base_lrs"},
}
"""Fields that tell whose state it is, the more particular first."""


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _items(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    raise NotImportable(f"{_short(node)} must be a list of schedulers")


def _literal(node: ast.expr, where: str) -> Any:
    """A value that is written out; numbers may be computed from numbers."""
    with suppress(ValueError, TypeError, RecursionError):
        return ast.literal_eval(node)
    try:
        (computed,) = compiled(checked(ast.unparse(node), ()))((0,), (0.0,))
    except (ValueError, ArithmeticError):
        raise NotImportable(f"{where} ({_short(node)}) must be written out as a value") from None
    return int(computed) if computed == int(computed) else computed


def _milestones(value: Any) -> list[int]:
    """Milestones of a state are a Counter, in JSON an object of texts."""
    if isinstance(value, dict):
        return sorted(int(milestone) for milestone, times in value.items() for _ in range(int(times)))
    return list(value)


def _one(values: Any) -> Any:
    if isinstance(values, list):
        return values[0] if len(set(values)) == 1 else values
    return values


def _length(after: dict[str, Any]) -> int | None:
    """The length that a scheduler itself names."""
    for name in ("T_max", "total_steps", "total_iters"):
        value = after.get(name)
        if isinstance(value, int):
            return value
    if isinstance(after.get("epochs"), int) and isinstance(after.get("steps_per_epoch"), int):
        return int(after["epochs"] * after["steps_per_epoch"])
    last = _length(after["schedulers"][-1]) if after["type"] == "SequentialLR" and after.get("schedulers") else None
    milestones = after.get("milestones") or [0]
    return None if last is None else last + int(milestones[-1])


def _peak(after: dict[str, Any]) -> float | None:
    value = after.get("max_lr")
    return max(value) if isinstance(value, list) else value


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004
