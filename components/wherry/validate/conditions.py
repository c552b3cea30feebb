"""Reads a rule's ``row_condition``: which columns it looks at, and that it does nothing else.

Great Expectations hands the text to pandas' `query`, which would call functions and reach
variables. Here it may compare columns with values, and no more.
"""

import ast
from typing import Final

_NULL_TESTS: Final = frozenset({"isnull", "notnull", "isna", "notna"})
_ALLOWED: Final = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.Invert,
    ast.USub,
    ast.BinOp,
    ast.BitAnd,
    ast.BitOr,
    ast.Compare,
    ast.cmpop,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
)


def columns_of_condition(condition: str) -> frozenset[str]:
    """Gives the columns that a condition names.

    Example::

        >>> sorted(columns_of_condition('split == "test" and not label.isnull()'))
        ['label', 'split']

    Raises:
        ValueError: if it cannot be read, does more than compare, or names no column.
    """
    try:
        tree = ast.parse(condition.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError("the row_condition cannot be read") from error
    names = frozenset(_names(tree))
    if not names:
        raise ValueError("the row_condition names no column")
    return names


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Call):
        return _names(_tested(node))
    if not isinstance(node, _ALLOWED):
        raise ValueError(
            f"a row_condition compares columns with values, it has no {type(node).__name__}"
        )
    if isinstance(node, ast.Name):
        return [node.id]
    return [name for child in ast.iter_child_nodes(node) for name in _names(child)]


def _tested(call: ast.Call) -> ast.Name:
    """Gives the column of a test such as ``label.isnull()``, the only call there is."""
    test = call.func
    if (
        isinstance(test, ast.Attribute)
        and isinstance(test.value, ast.Name)
        and test.attr in _NULL_TESTS
        and not (call.args or call.keywords)
    ):
        return test.value
    raise ValueError(f"a row_condition calls nothing but {', '.join(sorted(_NULL_TESTS))}")
