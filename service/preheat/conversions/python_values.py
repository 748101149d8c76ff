"""Python values: what the literals, names and arithmetic of a script come to, without running any of it."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from preheat.errors import NotImportable
from preheat.messages import excerpt

MAX_CHARACTERS = 20_000
_MAX_NODES = 50_000
_LARGEST = 1e100
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(math, name) for name in ("ceil", "cos", "exp", "floor", "log", "pow", "sin", "sqrt", "tanh")
} | {"abs": abs, "float": float, "int": int, "max": max, "min": min, "round": round}
_MODULES = {"math", "np", "numpy", "torch"}
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "True": True, "False": False}


class NotAValue(Exception):
    """An expression that is no value that can be told without running the script."""


def no_call(node: ast.Call) -> Any:
    """Knows no call. Raises NotAValue."""
    raise NotAValue(ast.unparse(node))


class PythonValues:
    """Values by name, as assignments give them one after the other.

    A value may stand in another any number of times, so that a few lines can stand for more than fits in memory: what
    is evaluated is counted with everything in it, up to 50,000 parts. `call` is asked for each call first; it raises
    NotAValue for one that it does not know.
    """

    def __init__(self, call: Callable[[ast.Call], Any] = no_call) -> None:
        self._call = call
        self._names: dict[str, tuple[Any, int]] = {}
        self._parts = 0

    def assign(self, target: ast.expr, value: ast.expr) -> Any:
        """Gives a name the value of an expression. Raises NotAValue; the name then has none."""
        name, before = ast.unparse(target), self._parts
        # If the new value cannot be told, the old one must not stay in its place.
        self._names.pop(name, None)
        found = self.value(value)
        self._names[name] = (found, self._parts - before)
        return found

    def known(self, name: str) -> Any:
        """The value that a name has; None where it has none."""
        return self._names.get(name, (None, 0))[0]

    def held(self) -> dict[str, tuple[Any, int]]:
        """Every name that has a value, as `hold` takes them back."""
        return dict(self._names)

    def hold(self, names: dict[str, tuple[Any, int]]) -> None:
        """Goes on with these names, and no others."""
        self._names = dict(names)

    def value(self, node: ast.expr) -> Any:  # noqa: PLR0911 - one kind of expression after another
        """The value of an expression. Raises NotAValue, and NotImportable where it is too large."""
        self._count(1)
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return _bounded(value)
            case ast.Name() | ast.Attribute():
                return self._named(node)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case ast.Dict(keys=keys, values=values):
                return {self._key(key): self.value(each) for key, each in zip(keys, values, strict=True)}
            case ast.BinOp(left=left, op=op, right=right):
                return self._computed(op, self.value(left), self.value(right))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _arithmetic(_UNARY[type(op)], self.value(operand))
            case ast.Call():
                return self._called(node)
        raise NotAValue(ast.unparse(node))

    def _called(self, node: ast.Call) -> Any:
        name = name_of(node.func)
        if name == "dict" and not node.args:
            return {keyword.arg or "**": self.value(keyword.value) for keyword in node.keywords}
        if name in _FUNCTIONS and not node.keywords and _is_plain(node.func):
            return _arithmetic(_FUNCTIONS[name], *(self.value(argument) for argument in node.args))
        return self._call(node)

    def _named(self, node: ast.Name | ast.Attribute) -> Any:
        name = ast.unparse(node)
        if name in self._names:
            value, parts = self._names[name]
            self._count(parts)
            return value
        if name_of(node) in _CONSTANTS and _is_plain(node):
            return _CONSTANTS[name_of(node)]
        raise NotAValue(name)

    def _key(self, node: ast.expr | None) -> str:
        # ast gives the key None to `**other` within a dict.
        if node is None:
            raise NotAValue("**")
        return str(self.value(node))

    def _computed(self, op: ast.operator, left: Any, right: Any) -> Any:
        if isinstance(op, ast.Pow):
            return _arithmetic(_power, left, right)
        if isinstance(left, list) and isinstance(right, list) and isinstance(op, ast.Add):
            self._count(len(left) + len(right))
            return left + right
        if isinstance(left, list) and isinstance(right, int) and isinstance(op, ast.Mult):
            # counted before it is made: `[0] * 10**9` would not fit in memory
            self._count(min(len(left) * max(right, 0), _MAX_NODES + 1))
            return left * right
        if type(op) not in _BINARY:
            raise NotAValue(type(op).__name__)
        return _arithmetic(_BINARY[type(op)], left, right)

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > _MAX_NODES:
            raise NotImportable(f"source must come to at most {_MAX_NODES} values")


def name_of(node: ast.expr) -> str:
    """The last name of a dotted one: CosineAnnealingLR of torch.optim.lr_scheduler.CosineAnnealingLR."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def parsed(text: str, most: int = MAX_CHARACTERS) -> list[ast.stmt]:
    """The statements of a script. Raises NotImportable."""
    if len(text) > most:
        raise NotImportable(f"source must have at most {most} characters")
    try:
        tree = ast.parse(text.strip())
    except (SyntaxError, ValueError) as error:
        raise NotImportable(f"source is not Python: {excerpt(str(getattr(error, 'msg', error)))}") from None
    except (RecursionError, MemoryError):
        raise NotImportable("source is not Python: too deeply nested") from None
    # Python reads a hexadecimal number of any length, and does not write it down.
    if any(isinstance(node, ast.Constant) and _is_huge(node.value) for node in ast.walk(tree)):
        raise NotImportable("source must have no whole number of more than 300 digits")
    return tree.body


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 1000  # noqa: PLR2004 - bits of 300 digits


def _is_plain(node: ast.expr) -> bool:
    """Whether a name is one of Python's own, or of a module of mathematics."""
    # self.max(…) may be anything, and is not taken for Python's max.
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and name_of(node.value) in _MODULES)


def _arithmetic(function: Callable[..., Any], *values: Any) -> Any:
    """A function of numbers, or of one list of them."""
    numbers = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    if not all(isinstance(value, int | float) for value in numbers):
        raise NotAValue("arithmetic of what is no number")
    try:
        return _bounded(function(*values))
    except (ArithmeticError, ValueError, TypeError):
        raise NotAValue("arithmetic without a result") from None


def _power(base: float, exponent: float) -> Any:
    """A power; the size of one of whole numbers is known before it is computed."""
    if isinstance(base, float) or exponent < 0:
        return math.pow(base, exponent)
    # 100 digits are what _LARGEST allows: a larger int is never built, as that alone may take minutes.
    return base**exponent if abs(base) <= 1 or exponent * math.log10(abs(base)) < 100 else math.inf  # noqa: PLR2004


def _bounded(value: Any) -> Any:
    # `not <=` and no `>`, as NaN must be refused too.
    if isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) <= _LARGEST:
        raise NotAValue("a number that is too large")
    if not isinstance(value, str | int | float | None):
        raise NotAValue(type(value).__name__)
    return value
