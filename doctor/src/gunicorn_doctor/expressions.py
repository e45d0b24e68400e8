"""Operators on values that may be unknown."""

from __future__ import annotations

import ast
import operator
from typing import Any

from gunicorn_doctor.values import Table, Value, unknown

ARITHMETIC: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
}
COMPARISONS: dict[type[ast.cmpop], Any] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in [each.data for each in container],
    ast.NotIn: lambda item, container: item not in [each.data for each in container],
}


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` for an expression of names and attributes, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return ""


def truth(value: Value) -> bool | None:
    """Return what a condition is, or None if it depends on what is not known.

    A variable for debugging is off, as in production.
    """
    if "DEBUG" in value.variable.upper():
        return False
    return bool(value.data) if value.certain else None


def binary(kind: ast.operator, left: Value, right: Value, node: ast.AST) -> Value:
    """Return the result of an operator.

    Text with an unknown part keeps its known part, and may vary: rules search in it.
    """
    varies = not (left.certain and right.certain)
    variable = left.variable or right.variable
    if isinstance(left.data, Table) and isinstance(right.data, Table):
        merged = Table({**left.data, **right.data}, open=left.data.open or right.data.open)
        return Value(merged, left.where)
    for known, other in ((left, right), (right, left)):
        if isinstance(known.data, str) and not other.known and isinstance(kind, ast.Add):
            return Value(known.data, known.where, varies=True, variable=variable)
    if isinstance(left.data, list) and not right.known:
        return left
    if isinstance(left.data, str) and isinstance(kind, ast.Mod):
        return Value(left.data, left.where, varies=True, variable=variable)
    try:
        numbers = isinstance(left.data, int | float) and isinstance(right.data, int | float)
        if isinstance(kind, ast.Mult) and not numbers:
            raise TypeError  # repeated text may be endless
        result = ARITHMETIC[type(kind)](left.data, right.data)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return unknown(ast.unparse(node), left.where, variable)
    return Value(result, left.where, varies, variable)


def compare(kind: ast.cmpop, left: Value, right: Value, node: ast.AST) -> Value:
    """Return the result of a comparison."""
    if left.known and right.known:
        varies, variable = left.varies or right.varies, left.variable or right.variable
        try:
            result = COMPARISONS[type(kind)](left.data, right.data)
        except (AttributeError, TypeError):
            return unknown(ast.unparse(node), left.where, variable)
        return Value(result, left.where, varies, variable)
    return unknown(ast.unparse(node), left.where, left.variable or right.variable)
