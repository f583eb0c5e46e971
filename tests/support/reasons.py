"""Every reason that the program can give, read from its source: what is passed where a parameter or field is called `reason`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
_RECEIVER = {"self", "cls"}


def reasons_in(folders: Iterable[Path]) -> dict[str, set[str]]:
    """Return the reasons below these folders, each with the files that give it."""
    trees = {path: ast.parse(path.read_text()) for folder in folders for path in sorted(folder.rglob("*.py"))}
    positions = {name: place for tree in trees.values() for name, place in _positions(tree)}
    found: dict[str, set[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            for reason in _given(node, positions):
                found.setdefault(reason, set()).add(str(path))
    return found


def _positions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Where in the arguments of functions and classes a reason stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
            if "reason" in fields:
                yield node.name, fields.index("reason")
            for one in node.body:
                if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                    yield from ((node.name, place) for _, place in _of_function(one))
        elif isinstance(node, ast.FunctionDef):
            yield from _of_function(node)


def _of_function(node: ast.FunctionDef) -> Iterator[tuple[str, int]]:
    names = [argument.arg for argument in node.args.args]
    if "reason" in names:
        yield node.name, names.index("reason") - (names[0] in _RECEIVER)


def _given(node: ast.AST, positions: dict[str, int]) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            place = positions.get(name)
            if place is not None and place < len(node.args):
                yield from _words(node.args[place])
            for keyword in node.keywords:
                if keyword.arg == "reason":
                    yield from _words(keyword.value)
        case ast.Assign(targets=[ast.Name(id="reason")], value=value):
            yield from _words(value)
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            for target, value in zip(targets, values, strict=False):
                if isinstance(target, ast.Name) and target.id == "reason":
                    yield from _words(value)
        case _:
            return


def _words(value: ast.expr) -> Iterator[str]:
    for part in ast.walk(value):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and CAMEL_CASE.match(part.value):
            yield part.value
