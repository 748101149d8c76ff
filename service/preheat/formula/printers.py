"""A formula in the notation of a library."""

import ast
from functools import reduce
from typing import ClassVar

from typing_extensions import override

from preheat.formula.language import parsed


def in_python(formula: str) -> str:
    """As plain Python with the math module."""
    return ast.unparse(_Python().visit(parsed(formula)))


def in_arrays(formula: str, module: str) -> tuple[list[str], str]:
    """As functions of whole arrays, which may be traced: jax.numpy or keras.ops, imported as `module`.

    Returns assignments of what is named more than once, and the value after them: as long as the formula, whatever it
    repeats.
    """
    arrays = _Arrays(module)
    value = ast.unparse(arrays.number(parsed(formula)))
    return arrays.assignments, value


def _attribute(module: str, name: str) -> ast.expr:
    return ast.Attribute(ast.Name(module, ast.Load()), name, ast.Load())


class _Python(ast.NodeTransformer):
    """Functions of the math module by their names in it."""

    _BUILTIN: ClassVar[set[str]] = {"abs", "min", "max"}

    @override
    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        function = node.func if name in self._BUILTIN else _attribute("math", name)
        return ast.Call(function, [self.visit(argument) for argument in node.args], [])

    @override
    def visit_Name(self, node: ast.Name) -> ast.AST:
        return _attribute("math", node.id) if node.id in {"pi", "e"} else node


class _Arrays(ast.NodeTransformer):
    """Choices as `where`, and everything that is a function of arrays by its name there.

    Keras' minimum, maximum, floor and ceil of a float64 are float32, as is a choice between two numbers: they are
    choices and divisions here, and to a choice between numbers a zero of n's own type is added.

    `visit` gives a condition as an array of booleans, for a choice; `number` gives what it counts as in arithmetic.
    """

    _NAMES: ClassVar[dict[str, str]] = {"pow": "power"}

    def __init__(self, module: str) -> None:
        self._module = module
        self.assignments: list[str] = []

    def _named(self, node: ast.expr) -> ast.expr:
        """A name, or a number, for a value that is read more than once."""
        if isinstance(node, ast.Name | ast.Constant):
            return node
        name = f"x{len(self.assignments) + 1}"
        self.assignments.append(f"{name} = {ast.unparse(node)}")
        return ast.Name(name, ast.Load())

    def number(self, node: ast.expr) -> ast.expr:
        """A condition as 1 or 0, `and` and `or` as the operand that Python takes: true + true is 2, not true."""
        visited: ast.expr
        if isinstance(node, ast.BoolOp):
            *others, visited = map(self.number, node.values)
            for operand in map(self._named, reversed(others)):
                is_true = ast.Compare(operand, [ast.NotEq()], [ast.Constant(0.0)])
                ends = (visited, operand) if isinstance(node.op, ast.And) else (operand, visited)
                visited = self._choice(is_true, *ends)
            return visited
        visited = self.visit(node)
        if isinstance(node, ast.Compare) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)):
            return self._choice(visited, ast.Constant(1.0), ast.Constant(0.0))
        return visited

    @override
    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        return ast.BinOp(self.number(node.left), node.op, self.number(node.right))

    @override
    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        arguments = [self.number(argument) for argument in node.args]
        if name in {"min", "max"}:
            operator = ast.Lt() if name == "min" else ast.Gt()
            return reduce(lambda *pair: self._first_if(operator, *map(self._named, pair)), arguments)
        if name in {"floor", "ceil"}:
            # floor(x) is x // 1, and ceil(x) is −(−x // 1).
            sign = ast.UAdd() if name == "floor" else ast.USub()
            inner = ast.BinOp(ast.UnaryOp(sign, arguments[0]), ast.FloorDiv(), ast.Constant(1.0))
            return ast.UnaryOp(sign, inner)
        return ast.Call(_attribute(self._module, self._NAMES.get(name, name)), arguments, [])

    @override
    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return self._choice(self.visit(node.test), self.number(node.body), self.number(node.orelse))

    @override
    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        name = "logical_and" if isinstance(node.op, ast.And) else "logical_or"
        values: list[ast.expr] = [self.visit(value) for value in node.values]
        return reduce(lambda left, right: ast.Call(_attribute(self._module, name), [left, right], []), values)

    @override
    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        if isinstance(node.op, ast.Not):
            return ast.Call(_attribute(self._module, "logical_not"), [self.visit(node.operand)], [])
        return ast.UnaryOp(node.op, self.number(node.operand))

    @override
    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """A chain of comparisons is all of them."""
        first, *others, last = [self.number(term) for term in (node.left, *node.comparators)]
        terms = [first, *map(self._named, others), last]
        pairs = [
            ast.Compare(left, [operator], [right])
            for left, operator, right in zip(terms, node.ops, terms[1:], strict=False)
        ]
        and_ = _attribute(self._module, "logical_and")
        return reduce(lambda left, right: ast.Call(and_, [left, right], []), pairs)  # type: ignore[arg-type,return-value]

    @override
    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """A value of a table, by an index that is computed: `pick` is a function of the script."""
        return ast.Call(ast.Name("pick", ast.Load()), [node.value, self.number(node.slice)], [])

    def _first_if(self, operator: ast.cmpop, left: ast.expr, right: ast.expr) -> ast.expr:
        return self._choice(ast.Compare(left, [operator], [right]), left, right)

    def _choice(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> ast.expr:
        if isinstance(then, ast.Constant) and isinstance(otherwise, ast.Constant):
            zero = ast.BinOp(ast.Constant(0.0), ast.Mult(), ast.Name("n", ast.Load()))
            then = ast.BinOp(zero, ast.Add(), then)
        return ast.Call(_attribute(self._module, "where"), [test, then, otherwise], [])

    @override
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Whole numbers as floats: Keras takes float64 and an integer to float32."""
        return ast.Constant(float(node.value)) if type(node.value) is int else node

    @override
    def visit_Name(self, node: ast.Name) -> ast.AST:
        return _attribute("math", node.id) if node.id in {"pi", "e"} else node
