"""Giving variables of config files new values by name, so that every use of the name in any file follows.

MMEngine evaluates config files before it merges ``--cfg-options``: with ``data_root = 'data/x'`` on top and
``dataset=dict(data_root=data_root)`` below, ``--cfg-options data_root=...`` would change the top line only. Here the
value is put into the source of every file of the `_base_` chain, behind each assignment of the name, before it is run.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

from mmengine.config import Config

ENVIRONMENT = re.compile(r'\{\{\s*\$.*?\}\}')  # MMEngine's {{$NAME:default}}, which is no Python
_LOCK = RLock()


def load_with_variables(path: str | Path, variables: Mapping[str, Any]) -> tuple[Config, set[str]]:
    """Load a config whose top-level variables have the given values in all files of its chain.

    Args:
        path: The config file. Configs in MMEngine's lazy style (``with read_base()``), JSON and YAML files are loaded
            as they are.
        variables: Values by name; they must be plain (numbers, text, None, lists and tuples of these).

    Returns:
        The config, and the names that are assigned in at least one of the files.
    """
    assigned: set[str] = set()
    with _LOCK, _values_behind_assignments(variables, assigned):
        return Config.fromfile(path), assigned


@contextmanager
def _values_behind_assignments(variables: Mapping[str, Any], assigned: set[str]) -> Iterator[None]:
    """Within this context MMEngine's first step of reading a file, the substitution of `{{ fileDirname }}` and the
    like, also puts in the values."""
    substitute = Config._substitute_predefined_vars

    def substitute_and_assign(filename: str, target: str) -> None:
        substitute(filename, target)
        if variables and str(filename).endswith('.py'):
            source = Path(target).read_text(encoding='utf-8')
            text, names = assign(source, variables)
            assigned.update(names)
            Path(target).write_text(text, encoding='utf-8')

    Config._substitute_predefined_vars = staticmethod(substitute_and_assign)
    try:
        yield
    finally:
        Config._substitute_predefined_vars = staticmethod(substitute)


def assign(source: str, variables: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Put ``; name = value`` behind every assignment of a variable at the top level of a Python source.

    Line numbers stay. Names in functions, keyword arguments and strings are untouched.

    >>> assign("root = 'a'  # here\\nd = dict(root=root)", {'root': '/b', 'other': 1})
    ("root = 'a'; root = '/b'  # here\\nd = dict(root=root)", {'root'})

    Returns:
        The new source and the names that are assigned in it.
    """
    lines = source.encode().splitlines(keepends=True)
    assigned: set[str] = set()
    statements = _assignments(_parse(source).body)
    for statement in sorted(statements, key=lambda node: (node.end_lineno, node.end_col_offset), reverse=True):
        names = sorted(_bound_names(statement) & variables.keys())
        assigned.update(names)
        line, column = statement.end_lineno - 1, statement.end_col_offset
        for name in reversed(names):
            text = f'; {name} = {variables[name]!r}'.encode()
            lines[line] = lines[line][:column] + text + lines[line][column:]
    return b''.join(lines).decode(), assigned


def assigned_names(source: str) -> set[str]:
    """The variables that a Python source assigns at its top level."""
    return set().union(*map(_bound_names, _assignments(_parse(source).body)))


def _parse(source: str) -> ast.Module:
    return ast.parse(ENVIRONMENT.sub(lambda found: 'x' * len(found.group().encode()), source))


def _assignments(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Assignments that run when the file is run, those under `if`, `for`, `with` and `try` included."""
    for statement in body:
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            yield statement
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for field in ('body', 'orelse', 'finalbody'):
                yield from _assignments(getattr(statement, field, []))
            for handler in getattr(statement, 'handlers', []):
                yield from _assignments(handler.body)


def _bound_names(statement: ast.stmt) -> set[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
