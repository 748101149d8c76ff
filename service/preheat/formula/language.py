"""The formula language: arithmetic of numbers, names and a few functions, checked before it is compiled.

A formula is an expression in Python's notation. Only arithmetic, comparisons, `x if condition else y` and the functions
in FUNCTIONS are part of it; it can name no attribute, call nothing else, and its cost is bounded by its length.
"""

import ast
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from preheat.messages import shortened

MAX_CHARACTERS = 1000
_MAX_PARTS = 400
_MAX_DEPTH = 60

FUNCTIONS: dict[str, tuple[Callable[..., float], range]] = {
    "abs": (abs, range(1, 2)),
    "ceil": (math.ceil, range(1, 2)),
    "cos": (math.cos, range(1, 2)),
    "exp": (math.exp, range(1, 2)),
    "floor": (math.floor, range(1, 2)),
    "log": (math.log, range(1, 2)),
    "max": (max, range(2, 9)),
    "min": (min, range(2, 9)),
    "pow": (math.pow, range(2, 3)),
    "sin": (math.sin, range(1, 2)),
    "sqrt": (math.sqrt, range(1, 2)),
    "tanh": (math.tanh, range(1, 2)),
}
"""What a formula may call, and with how many arguments."""

CONSTANTS = {"pi": math.pi, "e": math.e}

# Without Pow, which `visit_BinOp` turns into a call: int ** int may have any number of digits, math.pow overflows.
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.UAdd, ast.USub)
_LOGIC = (ast.Not, ast.And, ast.Or, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)

Evaluate = Callable[[Iterable[float], Sequence[Any]], list[float]]
"""From iterations and base LRs to learning rates: every base LR's of the first iteration, of the second, and so on."""


def compiled(formula: str, base: str = "b") -> Evaluate:
    """A formula of ours in the names `s` (iteration) and `b` (base LR), ready to be computed for many iterations.

    With `base` "b, m" each base is a pair, and the formula may name both. Errors of arithmetic (ZeroDivisionError,
    OverflowError, ValueError) come out of the call.
    """
    # Our own text, or a user's that `checked` has let through; without builtins it reaches nothing but FUNCTIONS.
    return _kept(formula, base) if len(formula) <= _MOST_KEPT else _compiled(formula, base)


def _compiled(formula: str, base: str) -> Evaluate:
    code = f"lambda iterations, bases: [{formula} for s in iterations for {base} in bases]"
    names: dict[str, object] = {name: function for name, (function, _) in FUNCTIONS.items()}
    return eval(code, {"__builtins__": {}, **names, **CONSTANTS})  # type: ignore[no-any-return] # noqa: S307


_kept = lru_cache(maxsize=64)(_compiled)
_MOST_KEPT = 10_000
"""Characters of the longest formula that is kept compiled: a table of 10⁵ values takes 5 MB, which no curve weighs."""


def checked(text: str, names: Iterable[str]) -> str:
    """A user's formula in canonical notation, safe to be compiled: every number is a float, every power a `pow`.

    Raises ValueError, which says what is wrong, unless it is an expression of the language in the given names.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"must have at most {MAX_CHARACTERS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (RecursionError, MemoryError):  # the latter is what CPython 3.11 says of some hundred parentheses
        raise ValueError("is not a formula: too deeply nested") from None
    except SyntaxError as error:
        raise ValueError(f"is not a formula: {error.msg}") from None
    except ValueError:  # a lone surrogate
        raise ValueError("is not a formula: it has a character that no text has") from None
    if sum(1 for _ in ast.walk(tree)) > _MAX_PARTS:
        raise ValueError(f"must have at most {_MAX_PARTS} parts")
    if _depth(tree) > _MAX_DEPTH:
        raise ValueError(f"must be nested at most {_MAX_DEPTH} deep")
    return ast.unparse(_Checker(frozenset(names)).visit(tree.body))


def substituted(formula: str, replacements: Mapping[str, str]) -> str:
    """The formula with other formulas in the place of names."""
    return ast.unparse(_Substitution(replacements).visit(parsed(formula)))


def parsed(formula: str) -> ast.expr:
    """The tree of a formula."""
    return ast.parse(formula, mode="eval").body


class _Checker(ast.NodeTransformer):
    """Lets through what the language has, and refuses the rest."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ValueError(f"must not contain {_source(node)}: numbers only")  # noqa: TRY004 - a rule, not a type
        try:
            value = float(node.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise ValueError("must not contain a number that is not finite")
        return ast.Constant(value)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._names and node.id not in CONSTANTS:
            known = ", ".join(sorted({*self._names, *CONSTANTS}))
            raise ValueError(f"must not name {_source(node)} (known: {known}; functions: {', '.join(FUNCTIONS)})")
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        if isinstance(node.op, ast.Pow):
            left, right = self.visit(node.left), self.visit(node.right)
            return ast.Call(ast.Name("pow", ast.Load()), [left, right], [])
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            raise ValueError(f"must not call {_source(node.func)} (known: {', '.join(FUNCTIONS)})")
        arity = FUNCTIONS[name][1]
        if node.keywords or len(node.args) not in arity:
            wanted = arity.start if len(arity) == 1 else f"{arity.start} to {arity.stop - 1}"
            raise ValueError(f"must give {name} {wanted} argument{'s' if wanted != 1 else ''}")
        return ast.Call(node.func, [self.visit(argument) for argument in node.args], [])

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, *_ARITHMETIC, *_LOGIC)):
            raise ValueError(f"must not contain {_source(node)}")  # noqa: TRY004 - a rule, not a type
        return super().generic_visit(node)


class _Substitution(ast.NodeTransformer):
    def __init__(self, replacements: Mapping[str, str]) -> None:
        self._replacements = replacements

    def visit_Name(self, node: ast.Name) -> ast.AST:
        # A tree of its own for each place: ast.unparse keeps by node whether it needs parentheses.
        return parsed(self._replacements[node.id]) if node.id in self._replacements else node


def _depth(tree: ast.AST) -> int:
    """Length of the longest way from the root to a leaf, found level by level."""
    depth, level = 0, [tree]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _source(node: ast.AST) -> str:
    return shortened(ast.unparse(node), 40)
