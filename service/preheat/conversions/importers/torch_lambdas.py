"""Lambdas of torch's LambdaLR: Python of one argument as a formula of the scheduler's own iteration."""

import ast
from collections.abc import Mapping
from typing import Any

from preheat.conversions.python_values import PythonValues, name_of
from preheat.errors import NotImportable
from preheat.formula.language import checked, substituted

_MOST_PARTS = 2000


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
            text = f"(floor({x}) if ({x}) >= 0 else ceil({x}))"
            if name == "round":  # a half goes to the even neighbour
                half = f"(({x}) - floor({x}) == 0.5)"
                text = f"(2 * floor(({x}) / 2 + 0.5) if {half} else floor(({x}) + 0.5))"
            formula: ast.AST = ast.parse(text, mode="eval").body
            return formula
        function = self.visit(node.func) if isinstance(node.func, ast.Attribute) else node.func
        return ast.Call(function, [self.visit(argument) for argument in node.args], node.keywords)
