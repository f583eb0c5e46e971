"""The CEL rules of the CRDs, run by cel-python as the API server runs them by cel-go.

cel-python takes a quarter of a second to import and to read its grammar, so that happens only when the first rule is met.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from autollm.resources.problems import Path, Problem

if TYPE_CHECKING:
    from celpy import Environment, Runner

Schema = Mapping[str, Any]


def broken_rules(schema: Schema, value: Any, wrong: frozenset[Path], path: Path = ()) -> Iterator[Problem]:
    """Yield a problem for every rule that does not hold.

    Rules see only what is inside their own value, so those of values with a problem inside (a path of `wrong`) are not run; nor are
    those that compare with an earlier version, of which a file has none.
    """
    if not any(place[: len(path)] == path for place in wrong):
        for rule in schema.get("x-kubernetes-validations", ()):
            if "oldSelf" not in rule["rule"] and not holds(rule["rule"], value):
                place = tuple(rule.get("fieldPath", "").split(".")[1:])
                yield Problem((*path, *place), rule["message"])
    if isinstance(value, dict):
        fields: Schema = schema.get("properties", {})
        for name, part in value.items():
            inner = fields.get(name) or schema.get("additionalProperties")
            if isinstance(inner, Mapping):
                yield from broken_rules(inner, part, wrong, (*path, name))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from broken_rules(schema.get("items", {}), part, wrong, (*path, number))


def holds(rule: str, value: Any) -> bool:
    """Return whether a rule is true of a value; one that cannot be computed counts as broken, as it does in Kubernetes."""
    from celpy.adapter import json_to_cel
    from celpy.evaluation import CELEvalError

    try:
        return bool(_program(rule).evaluate({"self": json_to_cel(value)}))
    except CELEvalError:
        return False


@cache
def _environment() -> Environment:
    from celpy import Environment

    return Environment()


@cache
def _program(rule: str) -> Runner:
    environment = _environment()
    return environment.program(environment.compile(rule))
