"""The CEL rules of the CRDs, run by cel-python as the API server runs them by cel-go.

cel-python takes a fifth of a second to import, so that happens when the first rule is met; it takes half as long again to read its
grammar and to parse the rules, so their syntax trees are packaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from autollm.resources.problems import Path, Problem, shown

if TYPE_CHECKING:
    from lark import Token, Tree

Schema = Mapping[str, Any]

_PASSING = frozenset({"expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "paren_expr"})
"""Nodes of the grammar that only pass on the value of their child where they have but one: nine in ten of them, half of the time."""


def broken_rules(
    schema: Schema, value: Any, path: Path = (), *, misshapen: frozenset[Path] = frozenset(), wrong: frozenset[Path] = frozenset()
) -> Iterator[Problem]:
    """Yield a problem for every rule that does not hold, but for those that compare with an earlier version, of which a file has none.

    Rules see only what is inside their own value. They are not run where a path of `misshapen` is inside; one that cannot be computed
    where a path of `wrong` is inside has met that value, of which enough is said.
    """
    rules = schema.get("x-kubernetes-validations", ())
    if rules and not _inside(path, misshapen):
        otherwise = _inside(path, wrong)
        converted = _converted(value)
        for rule in rules:
            if "oldSelf" not in rule["rule"] and not _is_true(rule["rule"], converted, otherwise=otherwise):
                place = tuple(rule.get("fieldPath", "").split(".")[1:])
                yield Problem((*path, *place), rule["message"] if isinstance(value, dict) else f"{shown(value)} {rule['message']}")
    if isinstance(value, dict):
        fields: Schema = schema.get("properties", {})
        for name, part in value.items():
            inner = fields.get(name) or schema.get("additionalProperties")
            if isinstance(inner, Mapping):
                yield from broken_rules(inner, part, (*path, name), misshapen=misshapen, wrong=wrong)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from broken_rules(schema.get("items", {}), part, (*path, number), misshapen=misshapen, wrong=wrong)


def _inside(path: Path, places: frozenset[Path]) -> bool:
    return any(place[: len(path)] == path for place in places)


def holds(rule: str, value: Any) -> bool:
    """Return whether a rule is true of a value; one that cannot be computed counts as broken, as it does in Kubernetes."""
    return _is_true(rule, _converted(value), otherwise=False)


def _converted(value: Any) -> Any:
    from celpy.adapter import json_to_cel

    return json_to_cel(value)


def _is_true(rule: str, converted: Any, *, otherwise: bool) -> bool:
    """Whether a rule is true; `otherwise` where it cannot be computed."""
    from celpy.evaluation import Activation, CELEvalError, Evaluator

    try:
        return bool(Evaluator(_tree(rule), Activation()).evaluate({"self": converted}))
    except CELEvalError:
        return otherwise


def parsed_rules(rules: Iterable[str]) -> dict[str, Any]:
    """Return the syntax trees of rules as plain lists, and the version of the grammar that they were parsed by."""
    return {"cel-python": version("cel-python"), "trees": {rule: _written(_parse(rule)) for rule in rules}}


@cache
def _tree(rule: str) -> Tree[Token]:
    """Return the syntax tree of a rule: the packaged one, or where another cel-python is installed, one that is parsed now."""
    packaged = _packaged()
    if packaged["cel-python"] == version("cel-python") and rule in packaged["trees"]:
        return _grown(packaged["trees"][rule])
    return _parse(rule)


@cache
def _packaged() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("autollm.resources").joinpath("schema", "rules.json").read_bytes())
    return table


def _parse(rule: str) -> Tree[Token]:
    from celpy import Environment

    return Environment().compile(rule)


def _written(node: Tree[Token] | Token) -> list[Any]:
    if isinstance(node, str):
        return [node.type, str(node)]
    return [str(node.data), [_written(child) for child in node.children]]


def _grown(node: list[Any]) -> Tree[Token]:
    from lark import Token, Tree
    from lark.tree import Meta

    place = Meta()  # type: ignore[no-untyped-call]  # lark does not annotate it
    place.line, place.column, place.empty = 1, 1, False

    def grow(node: list[Any]) -> Tree[Token] | Token:
        name, inner = node
        if len(inner) == 1 and (name in _PASSING or (name == "primary" and inner[0][0] == "paren_expr")):
            return grow(inner[0])
        return Token(name, inner) if isinstance(inner, str) else Tree(name, [grow(child) for child in inner], place)

    tree = grow(node)
    assert isinstance(tree, Tree)  # noqa: S101  # a rule is an expression, never a single word
    return tree
