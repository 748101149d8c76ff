"""Arguments of torch's schedulers: from a class, or a function of transformers, and what it is called with to a spec's.

The lambdas of a LambdaLR become formulas of the scheduler's own iteration.
"""

import ast
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.optim import lr_scheduler, swa_utils

from preheat.conversions.fields import Fields
from preheat.conversions.hf_schedule import SCHEDULES, hf_parts
from preheat.conversions.imported import NotCarried
from preheat.conversions.number import count, number, whole
from preheat.conversions.python_values import PythonValues, name_of
from preheat.errors import NotImportable
from preheat.formula.language import MAX_CHARACTERS, checked, substituted
from preheat.messages import excerpt
from preheat.specs.after_schedulers import SCHEDULER_TYPES

_WITHOUT_FIELD = {
    "optimizer": "",
    "last_epoch": "a schedule begins at its iteration 0; ask for a later iteration instead",
    "verbose": "nothing is printed",
    "scale_fn": "is code",
    "scale_mode": "belongs to scale_fn",
}
"""Parameters of torch's that no spec has, and why; the optimizer is not worth a word."""

CLASSES: dict[str, Any] = {
    **{
        name: kind
        for name, kind in vars(lr_scheduler).items()
        if isinstance(kind, type) and (name in SCHEDULER_TYPES or name in {"LambdaLR", "ReduceLROnPlateau"})
    },
    "SWALR": swa_utils.SWALR,
}
"""Torch's schedulers by name."""

GRADUAL = "GradualWarmupScheduler"
_GRADUAL_PARAMETERS = ("optimizer", "multiplier", "total_epoch", "after_scheduler")

FUNCTIONS = {
    "get_constant_schedule": "constant",
    "get_constant_schedule_with_warmup": "constant_with_warmup",
    "get_linear_schedule_with_warmup": "linear",
    "get_cosine_schedule_with_warmup": "cosine",
    "get_cosine_with_hard_restarts_schedule_with_warmup": "cosine_with_restarts",
    "get_cosine_with_min_lr_schedule_with_warmup": "cosine_with_min_lr",
    "get_polynomial_decay_schedule_with_warmup": "polynomial",
    "get_inverse_sqrt_schedule": "inverse_sqrt",
    "get_wsd_schedule": "warmup_stable_decay",
}
"""Functions of transformers, by the name that get_scheduler has for each."""

_WITHOUT_LENGTH = {"constant", "constant_with_warmup", "inverse_sqrt"}
_MOST_PARTS = 2000


@dataclass(frozen=True)
class Made:
    """A scheduler as fields of a spec: its warm-up, what follows, or one of that for each param group.

    `length` and `lrs` are what the code itself says of the run and of its optimizer's groups.
    """

    kind: str
    after: dict[str, Any] | None = None
    warmup: dict[str, Any] | None = None
    by_group: list[dict[str, Any]] | None = None
    length: int | None = None
    lrs: tuple[float, ...] = ()
    notes: list[NotCarried] = field(default_factory=list)

    @property
    def alone(self) -> dict[str, Any]:
        """The scheduler as a part of another. Raises NotImportable where it is more than one."""
        if self.after is None or self.warmup is not None or self.by_group is not None:
            raise NotImportable(f"{self.kind} must not stand within another scheduler: no spec says that")
        return self.after


def parameters(kind: str) -> tuple[str, ...]:
    """The parameters of a scheduler by the signature of the torch that is installed: positions differ by version."""
    return _GRADUAL_PARAMETERS if kind == GRADUAL else tuple(inspect.signature(CLASSES[kind]).parameters)


def check_class(kind: str, text: str) -> None:
    """Refuses what is no scheduler of torch, and one that follows a metric."""
    if kind == "ReduceLROnPlateau":
        raise NotImportable("ReduceLROnPlateau follows a metric: its LR is not a function of the iteration")
    if kind not in CLASSES and kind != GRADUAL:
        raise NotImportable(
            f"{text} must be a scheduler of torch.optim.lr_scheduler: remove it if it is none, or write what it does "
            "as one of those, or as a formula"
        )


def check_parameter(kind: str, name: str) -> None:
    """Refuses an argument that torch's class does not take; verbose was one up to torch 2.6."""
    names = parameters(kind)
    if name not in {*names, "verbose"}:
        raise NotImportable(f"{kind} has no parameter {excerpt(name)} (it has {', '.join(names)})")


def made(kind: str, arguments: dict[str, Any], lrs: Iterable[float] = ()) -> Made:
    """What a class of torch's makes of values by name, in which schedulers are `Made`. Raises NotImportable."""
    notes: list[NotCarried] = []
    if kind == GRADUAL:
        return _gradual(arguments, tuple(lrs))
    after: dict[str, Any] = {"type": kind}
    for name, value in arguments.items():
        if name in _WITHOUT_FIELD or name not in SCHEDULER_TYPES[kind].model_fields:
            notes += left_out(kind, name, value)
        elif name == "schedulers":
            after[name] = [child.alone for child in children(value)]
            notes += [note for child in value for note in child.notes]
        elif name in {"max_lr", "base_lr"} and isinstance(value, list):
            after[name] = [number(f"{kind}.{name}[{index}]", entry) for index, entry in enumerate(value)]
        else:
            after[name] = whole(value)
    # Schedulers within another share its optimizer, so that the LRs of any of them are those of all.
    own = tuple(lrs) or next((child.lrs for child in arguments.get("schedulers") or () if child.lrs), ())
    return Made(kind, after, length=length_of(after), lrs=own, notes=notes)


def left_out(kind: str, name: str, value: Any) -> list[NotCarried]:
    """The note on an argument that is not carried over; none where it changes nothing."""
    reason = _WITHOUT_FIELD.get(name, "has no field in a spec")
    # A last_epoch of -1 is torch's default, and means a new run.
    is_default = value in (None, False) or (name == "last_epoch" and value == -1)
    return [NotCarried(f"{kind}.{name}", reason)] if reason and not is_default else []


def children(value: Any) -> list[Made]:
    """The schedulers of a list."""
    if not isinstance(value, list) or not all(isinstance(child, Made) for child in value):
        raise NotImportable("schedulers must be a list of schedulers")
    return value


def _gradual(arguments: dict[str, Any], lrs: tuple[float, ...]) -> Made:
    """The GradualWarmupScheduler of ildoonet: up, one step more at the peak, then the next scheduler.

    With a multiplier of 1 it rises from 0, with m > 1 from lr to m · lr, which is lost again where another scheduler
    follows (pytorch-gradual-warmup-lr#26): that is refused.
    """
    multiplier = number(f"{GRADUAL}.multiplier", arguments.get("multiplier"))
    steps = count(f"{GRADUAL}.total_epoch", arguments.get("total_epoch"), least=1)
    after = arguments.get("after_scheduler")
    if after is not None and not isinstance(after, Made):
        raise NotImportable(f"{GRADUAL}.after_scheduler must be a scheduler of torch.optim.lr_scheduler")
    if multiplier < 1:
        raise NotImportable(f"{GRADUAL}.multiplier ({multiplier:g}) must be ≥ 1")
    if multiplier > 1 and after is not None:
        raise NotImportable(
            f"{GRADUAL}.multiplier ({multiplier:g}) must be 1 before another scheduler: it is lost after the warm-up"
        )
    lrs = lrs or (after.lrs if after else ())
    warmup: dict[str, Any] = {"iterations": steps}
    if multiplier > 1:
        warmup["start_factor"] = 1 / multiplier
    if after is None:
        return Made(GRADUAL, None, warmup, lrs=tuple(lr * multiplier for lr in lrs))
    window = {"type": "WindowLR", "begin": 1, "scheduler": after.alone}
    # Iteration W has the peak; the next scheduler counts its 0 from W + 1 on.
    length = None if after.length is None else after.length + steps + 1
    return Made(GRADUAL, window, warmup, length=length, lrs=lrs, notes=after.notes)


def length_of(after: dict[str, Any]) -> int | None:
    """The length that a scheduler itself names."""
    for name in ("T_max", "total_steps", "total_iters"):
        if isinstance(after.get(name), int):
            return int(after[name])
    epochs, each = after.get("epochs"), after.get("steps_per_epoch")
    if isinstance(epochs, int) and isinstance(each, int):
        return epochs * each
    if after["type"] != "SequentialLR" or not after.get("schedulers"):
        return None
    # A milestone is where the next scheduler starts from its own 0, so that its length counts from there.
    last, milestones = length_of(after["schedulers"][-1]), after.get("milestones")
    start = milestones[-1] if isinstance(milestones, list) and milestones else 0
    return last + start if last is not None and isinstance(start, int) else None


def peaks(after: dict[str, Any] | None) -> list[float]:
    """The target LRs that a scheduler itself names, one for each param group or one for all."""
    value = (after or {}).get("max_lr")
    values = value if isinstance(value, list | tuple) else [value]
    return [lr for lr in values if isinstance(lr, int | float) and not isinstance(lr, bool)]


def parameters_of(name: str) -> tuple[str, ...]:
    """The parameters that a function takes by position."""
    if name == "get_scheduler":
        return ("name", "optimizer", "num_warmup_steps", "num_training_steps", "scheduler_specific_kwargs")
    if name == "get_inverse_sqrt_schedule":
        return ("optimizer", "num_warmup_steps", "timescale")
    if name == "get_wsd_schedule":
        return ("optimizer", "num_warmup_steps", "num_decay_steps", "num_training_steps", "num_stable_steps")
    return ("optimizer", "num_warmup_steps", "num_training_steps")


def of_transformers(name: str, values: dict[str, Any], lrs: tuple[float, ...]) -> Made:
    """What a function makes of values by name. Raises NotImportable."""
    given = Fields({key: value for key, value in values.items() if key not in {"name", "last_epoch"}}, name)
    kind = FUNCTIONS.get(name) or str(values.get("name", "")).removeprefix("SchedulerType.").lower()
    kind = Fields({"name": kind}).choice("name", SCHEDULES)
    total, warmup = given.optional_count("num_training_steps"), given.count("num_warmup_steps", 0)
    if total is None and kind not in _WITHOUT_LENGTH:
        raise NotImportable(f"{name}.num_training_steps is required")
    own = dict(given.fields("scheduler_specific_kwargs").items()) | {key: given.take(key) for key in given.unread}
    # Both divide an LR of their arguments by the optimizer's.
    if not lrs and (kind == "polynomial" or (kind == "cosine_warmup_with_min_lr" and own.get("min_lr"))):
        raise NotImportable(f"{name} needs the optimizer's lr: write the optimizer above it")
    parts = hf_parts(kind, Fields(own, name), lrs[0] if lrs else 1.0, total or 0, warmup)
    return Made(name, parts.get("after_scheduler"), parts.get("warmup"), length=total, lrs=lrs)


def as_expression(node: ast.expr | None, functions: Mapping[str, ast.Lambda], values: PythonValues) -> dict[str, Any]:
    """The ExpressionLR of a lambda, or of a name that stands for one; other names have their values.

    Raises NotImportable where it is no formula.
    """
    named = functions.get(ast.unparse(node)) if node is not None else None
    function = named or (node if isinstance(node, ast.Lambda) else None)
    if function is None or len(function.args.args) != 1 or sum(1 for _ in ast.walk(function)) > _MOST_PARTS:
        raise NotImportable("LambdaLR.lr_lambda must be written as a lambda of one argument: write it as a formula")
    name = function.args.args[0].arg
    try:
        # Parsed anew, as a NodeTransformer alters its tree, and one function may stand for several groups.
        body = _AsFormula(values, name).visit(ast.parse(ast.unparse(function.body), mode="eval").body)
        formula = checked(ast.unparse(body), {name})
    except (ValueError, RecursionError) as error:
        raise NotImportable(f"LambdaLR.lr_lambda {error}") from None
    return {"type": "ExpressionLR", "expression": substituted(formula, {name: "s"})}


class _AsFormula(ast.NodeTransformer):
    """math.cos and np.cos are cos, float(x) is x, int and round are written out, and names above have their values."""

    def __init__(self, values: PythonValues, argument: str) -> None:
        self._values, self._argument = values, argument

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in {"math", "np", "numpy", "torch"}:
            return ast.Name(node.attr, ast.Load())
        return self.visit_Name(node)

    def visit_Name(self, node: ast.Name | ast.Attribute) -> ast.AST:
        name = ast.unparse(node)
        value = None if name == self._argument else self._values.known(name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return ast.Constant(value) if is_number else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = name_of(node.func)
        if len(node.args) == 1 and not node.keywords and name in {"float", "int", "round"}:
            argument: ast.AST = self.visit(node.args[0])
            if name == "float":
                return argument
            x = ast.unparse(argument)
            if len(x) > MAX_CHARACTERS:  # written several times below, and so is what is within it
                raise ValueError(f"must have at most {MAX_CHARACTERS} characters where int and round are written out")
            # int() cuts off towards 0, and floor goes down.
            text = f"(floor({x}) if ({x}) >= 0 else ceil({x}))"
            if name == "round":  # a half goes to the even neighbour
                half = f"(({x}) - floor({x}) == 0.5)"
                text = f"(2 * floor(({x}) / 2 + 0.5) if {half} else floor(({x}) + 0.5))"
            formula: ast.AST = ast.parse(text, mode="eval").body
            return formula
        function = self.visit(node.func) if isinstance(node.func, ast.Attribute) else node.func
        return ast.Call(function, [self.visit(argument) for argument in node.args], node.keywords)
