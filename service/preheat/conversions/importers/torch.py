"""Import of torch's schedulers: the Python text that makes them, or the state_dict that they save."""

import ast
import inspect
from contextlib import suppress
from typing import Any

from torch.optim import lr_scheduler, swa_utils

from preheat.conversions.source import Fields, Imported, Known, NotCarried, shown
from preheat.errors import NotImportable
from preheat.formula.language import checked, compiled, substituted
from preheat.specs.after_schedulers import SCHEDULER_TYPES

_WITHOUT_FIELD = {
    "optimizer": "",
    "last_epoch": "a schedule begins at its iteration 0; ask for a later iteration instead",
    "verbose": "nothing is printed",
    "scale_fn": "is code",
    "scale_mode": "belongs to scale_fn",
}
"""Parameters of torch's that no spec has, and why; the optimizer is not worth a word."""

_MAX_CHARACTERS = 20_000


def from_torch(source: Any, known: Known) -> Imported:
    """A spec from Python text such as `CosineAnnealingLR(optimizer, T_max=90)`, or from a state_dict.

    The text may have several lines, each `name = Scheduler(…)`; the last is the schedule. Nothing of it is run. Raises
    NotImportable.
    """
    if isinstance(source, dict):
        return _from_state(source, known)
    if not isinstance(source, str):
        raise NotImportable("source must be Python text with a torch scheduler, or a state_dict")
    try:
        script = _Script(source)
    except (RecursionError, MemoryError):
        raise NotImportable("source is not Python: too deeply nested") from None
    after = script.schedule
    return Imported(known.spec(_peak(after), _length(after), after), script.not_carried)


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
        except (SyntaxError, ValueError) as error:
            raise NotImportable(f"source is not Python: {getattr(error, 'msg', error)}") from None
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
            self.not_carried.append(NotCarried(_text(statement), "makes no scheduler"))

    def _scheduler(self, node: ast.expr) -> dict[str, Any]:
        if isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in self._names:
            return self._names[ast.unparse(node)]
        if not isinstance(node, ast.Call) or _name(node.func) not in _CLASSES:
            raise NotImportable(f"{_text(node)} must be a scheduler of torch.optim.lr_scheduler")
        kind = _name(node.func)
        if kind == "ReduceLROnPlateau":
            raise NotImportable("ReduceLROnPlateau follows a metric: its LR is not a function of the iteration")
        if kind == "LambdaLR":
            return self._lambda(node)
        spec: dict[str, Any] = {"type": kind}
        for name, value in self._arguments(node, kind).items():
            if name in _WITHOUT_FIELD or name not in SCHEDULER_TYPES[kind].model_fields:
                self._leave_out(kind, name, value)
            elif name == "schedulers":
                spec[name] = [self._scheduler(child) for child in _items(value)]
            elif name == "lr_lambda" and not isinstance(value, ast.Constant | ast.List):
                spec[name] = _constant_factor(value)
            else:
                spec[name] = _literal(value, f"{kind}.{name}")
        return spec

    def _arguments(self, node: ast.Call, kind: str) -> dict[str, ast.expr]:
        """The arguments of a call by the names that torch's own signature has."""
        if any(isinstance(argument, ast.Starred) for argument in node.args) or None in {k.arg for k in node.keywords}:
            raise NotImportable(f"{kind} must have its arguments written out, without * or **")
        # by the signature of the torch that is installed: positions differ between versions
        names = list(inspect.signature(_CLASSES[kind]).parameters)
        if len(node.args) > len(names):
            raise NotImportable(f"{kind} takes at most {len(names)} arguments, not {len(node.args)}")
        given = dict(zip(names, node.args, strict=False))
        for keyword in node.keywords:
            if keyword.arg not in {*names, "verbose"}:  # verbose was a parameter up to torch 2.6
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
                self._leave_out("LambdaLR", parameter, value)
        return {"type": "ExpressionLR", "expression": substituted(formula, {name: "s"})}

    def _leave_out(self, kind: str, name: str, value: ast.expr) -> None:
        """Notes an argument that is not carried over, unless it changes nothing."""
        reason, text = _WITHOUT_FIELD.get(name, "has no field in a spec"), ast.unparse(value)
        is_default = text in {"None", "False"} or (name == "last_epoch" and text == "-1")
        if reason and not is_default:
            self.not_carried.append(NotCarried(f"{kind}.{name}", reason))


class _WithoutMath(ast.NodeTransformer):
    """math.cos and np.cos are cos."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in {"math", "np", "numpy", "torch"}:
            return ast.Name(node.attr, ast.Load())
        return node


def _from_state(source: dict[str, Any], known: Known) -> Imported:
    """A spec from what `state_dict()` of a scheduler gave."""
    kind = next((kind for kind, names in _STATES.items() if names <= set(source)), None)
    if kind is None:
        raise NotImportable(
            f"the state has none of the fields that tell a scheduler ({', '.join(sorted(source))[:200]})"
        )
    state = Fields(source)
    names = [name for name in SCHEDULER_TYPES[kind].model_fields if name in source]
    after = {name: state.take(name) for name in names} | {"type": kind}
    if kind == "MultiStepLR":
        after["milestones"] = _milestones(state)
    if kind == "CyclicLR":
        after |= _cycle(state)
    # base_lrs is what the optimizer had before the scheduler: the targets
    base_lrs = state.numbers("base_lrs")
    spec = known.spec(base_lrs[0] if base_lrs else None, _length(after), after)
    if len(base_lrs) > 1 and known.target_lr is None:
        spec["param_groups"] = [{"target_lr": lr} for lr in base_lrs]
    return Imported(spec, state.not_carried("is where the run is, or how torch computes it, not what the schedule is"))


def _milestones(state: Fields) -> list[int]:
    """Milestones of a state are a Counter: in JSON an object of texts, with how often each is there."""
    counter = state.take("milestones")
    if not isinstance(counter, dict):
        return [int(milestone) for milestone in state.numbers("milestones")]
    times = state.fields("milestones")
    try:
        # a milestone that is there very often is as invalid as one that is there twice
        return sorted(int(name) for name in counter for _ in range(min(times.count(name), 2)))
    except ValueError:
        raise NotImportable(f"milestones ({shown(repr(counter))}) must be counted by iteration") from None


def _cycle(state: Fields) -> dict[str, Any]:
    """The arguments of a CyclicLR, which saves what it has made of them."""
    total = round(state.number("total_size"))
    up = round(state.number("total_size") * state.number("step_ratio"))
    return {
        "base_lr": _one(state.numbers("base_lrs")),
        "max_lr": _one(state.numbers("max_lrs")),
        "step_size_up": up,
        "step_size_down": total - up,
        "base_momentum": _one(state.numbers("base_momentums", [0.8])),
        "max_momentum": _one(state.numbers("max_momentums", [0.9])),
    }


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
"""Fields that tell which scheduler a state is of; where several fit, the first."""


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.AST) -> str:
    return shown(ast.unparse(node))


def _items(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    raise NotImportable(f"{_text(node)} must be a list of schedulers")


def _literal(node: ast.expr, where: str) -> Any:
    """A value that is written out; numbers may be computed from numbers."""
    with suppress(ValueError, TypeError, SyntaxError):
        return ast.literal_eval(node)
    # people write 3 * 5 or 10**4: the formula language computes that, and runs no code
    try:
        (computed,) = compiled(checked(ast.unparse(node), ()))((0,), (0.0,))
        return int(computed) if computed == int(computed) else computed
    except (ValueError, ArithmeticError):
        raise NotImportable(f"{where} ({_text(node)}) must be written out as a value") from None


def _constant_factor(node: ast.expr) -> float:
    value = _literal(node.body, "MultiplicativeLR.lr_lambda") if isinstance(node, ast.Lambda) else None
    if isinstance(node, ast.Lambda) and isinstance(node.body, ast.Constant) and isinstance(value, int | float):
        return float(value)
    raise NotImportable("MultiplicativeLR.lr_lambda must be a lambda of a constant: write it as an ExpressionLR")


def _one(values: list[float]) -> float | list[float]:
    """The value that all param groups have, or one for each."""
    return values[0] if len(set(values)) == 1 else values


def _length(after: dict[str, Any]) -> int | None:
    """The length that a scheduler itself names."""
    for name in ("T_max", "total_steps", "total_iters"):
        if isinstance(after.get(name), int):
            return int(after[name])
    if isinstance(after.get("epochs"), int) and isinstance(after.get("steps_per_epoch"), int):
        return int(after["epochs"] * after["steps_per_epoch"])
    if after["type"] != "SequentialLR" or not after.get("schedulers"):
        return None
    last, milestones = _length(after["schedulers"][-1]), after.get("milestones")
    start = milestones[-1] if isinstance(milestones, list) and milestones else 0
    return last + start if last is not None and isinstance(start, int) else None


def _peak(after: dict[str, Any]) -> float | None:
    """The target LR that a scheduler itself names."""
    value = after.get("max_lr")
    values = value if isinstance(value, list | tuple) else [value]
    return max((lr for lr in values if isinstance(lr, int | float)), default=None)
