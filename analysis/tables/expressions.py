"""Expressions on the columns of a table, as in `where` and `columns` of `load_table`: parsed, never executed.

An expression may hold comparisons (chained too, `in` and `not in`), `and`, `or`, `not`, arithmetic, and the functions
`log log2 log10 exp sqrt abs isnan`. A name is a column. A column whose name is not an identifier is written in
backquotes: `` `eval/loss` < 3 ``.

Legend: P rows.
"""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windtunnel.train.errors import InputError, did_you_mean

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "isnan": np.isnan,
}
_CONSTANTS = {"inf": float("inf"), "nan": float("nan")}
EXAMPLE = "\"D >= 2e6 and schedule == 'wsd'\""
NOT_UNDERSTOOD = "is not understood; write columns, numbers, quoted text, comparisons, and/or/not and arithmetic"


def evaluate_condition(expression: str, columns: Mapping[str, NDArray[Any]], num_rows: int) -> NDArray[np.bool_]:
    """Which rows (P,) meet a condition. Raises InputError if it cannot be read or is not a condition."""
    value = np.asarray(evaluate(expression, columns))
    if value.dtype != np.bool_:
        raise InputError(f"{expression!r} is not a condition: compare columns, for example {EXAMPLE}")
    return np.broadcast_to(value, (num_rows,))


def compute_column(expression: str, columns: Mapping[str, NDArray[Any]], num_rows: int) -> NDArray[Any]:
    """The value (P,) of an expression, or of the column of that name. Raises InputError if it cannot be read."""
    if expression in columns:
        return columns[expression]
    value = np.asarray(evaluate(expression, columns))
    if value.dtype.kind in "biuf":
        value = value.astype(np.float64)
    return np.broadcast_to(value, (num_rows,)).copy()


def column_names_in(expression: str, columns: Collection[str]) -> set[str]:
    """The columns that an expression, or the bare name of one, reads. Raises InputError if it cannot be read."""
    if expression in columns:
        return {expression}
    tree, quoted = _parse(expression)
    return {quoted.get(node.id, node.id) for node in ast.walk(tree) if isinstance(node, ast.Name)} & set(columns)


def _parse(expression: str) -> tuple[ast.Expression, dict[str, str]]:
    """The syntax tree, and the column in backquotes of each name that replaces one in the tree."""
    quoted: dict[str, str] = {}

    def placeholder(match: re.Match[str]) -> str:
        quoted[f"_quoted_{len(quoted)}_"] = match[1]
        return list(quoted)[-1]

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in quoted text
            return ast.parse(re.sub(r"`([^`]+)`", placeholder, expression).strip(), mode="eval"), quoted
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(
            f"cannot read {expression!r}: write a condition such as {EXAMPLE}, or a formula such as 6*N*D"
        ) from None


def evaluate(expression: str, columns: Mapping[str, NDArray[Any]]) -> Any:
    """The value of an expression: an array (P,) or a constant. Raises InputError naming the part that is wrong."""
    tree, quoted = _parse(expression)
    reader = _Reader(expression, columns, quoted)
    with np.errstate(all="ignore"):
        try:
            return reader.value(tree.body)
        except InputError:
            raise
        except (TypeError, ValueError, ArithmeticError, RecursionError):
            raise InputError(f"{expression!r} mixes text and numbers, or lists and values") from None


class _Reader:
    def __init__(self, expression: str, columns: Mapping[str, NDArray[Any]], quoted: Mapping[str, str]) -> None:
        self.expression, self.columns, self.quoted = expression, columns, quoted

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as constant):
                return float(constant) if type(constant) is int else constant
            case ast.Name(id=name):
                return self._column(self.quoted.get(name, name))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return operator.neg(self.value(operand))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return operator.pos(self.value(operand))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return np.logical_not(self._condition(operand))
            case ast.BoolOp(op=ast.And(), values=parts):
                return np.logical_and.reduce(np.broadcast_arrays(*map(self._condition, parts)))
            case ast.BoolOp(op=ast.Or(), values=parts):
                return np.logical_or.reduce(np.broadcast_arrays(*map(self._condition, parts)))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                divisor = self.value(right)
                if isinstance(op, ast.Div | ast.Mod) and np.asarray(divisor).dtype.kind == "f" and not np.any(divisor):
                    raise self._error(node, "divides by zero")
                return _ARITHMETIC[type(op)](self.value(left), divisor)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self._compare(left, ops, comparators)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](self.value(argument))
        raise self._error(node)

    def _condition(self, node: ast.expr) -> NDArray[np.bool_]:
        value = np.asarray(self.value(node))
        if value.dtype != np.bool_:
            raise self._error(node, "is not a condition: compare it with something")
        return value

    def _compare(self, left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr]) -> NDArray[np.bool_]:
        holds = []
        for op, right in zip(ops, comparators, strict=True):
            first = self.value(left)
            if isinstance(op, ast.In | ast.NotIn):
                if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
                    raise self._error(right, "follows `in` and is no list: write seed in (0, 1)")
                is_in = np.logical_or.reduce([self._equal(first, self.value(item)) for item in right.elts])
                holds.append(np.logical_not(is_in) if isinstance(op, ast.NotIn) else is_in)
            elif isinstance(op, ast.Eq | ast.NotEq):
                equal = self._equal(first, self.value(right))
                holds.append(equal if isinstance(op, ast.Eq) else np.logical_not(equal))
            elif type(op) in _COMPARISONS:
                holds.append(np.asarray(_COMPARISONS[type(op)](first, self.value(right)), dtype=np.bool_))
            else:
                raise self._error(left, "is compared by `is`: write ==")
            left = right
        return np.asarray(np.logical_and.reduce(np.broadcast_arrays(*holds)), dtype=np.bool_)

    def _equal(self, first: Any, second: Any) -> NDArray[np.bool_]:
        is_text = [np.asarray(value).dtype.kind in "US" for value in (first, second)]
        if is_text[0] != is_text[1]:
            raise TypeError("text compared with a number")
        return np.asarray(np.asarray(first) == np.asarray(second), dtype=np.bool_)

    def _column(self, name: str) -> Any:
        if name in self.columns:
            return self.columns[name]
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        raise InputError(
            f"{self.expression!r}: no column {name}; the table has {', '.join(self.columns)}"
            f"{did_you_mean(name, self.columns)}"
        )

    def _error(self, node: ast.expr, problem: str = NOT_UNDERSTOOD) -> InputError:
        part = ast.unparse(node)
        for name, column in self.quoted.items():
            part = part.replace(name, f"`{column}`")
        return InputError(f"{self.expression!r}: {part} {problem}")
