"""The verdict on a document: what an API server with the CRDs would say, said with places and remedies, without importing the types."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from autollm.resources.admission import oversized_numbers, repeated_entries, unknown_fields, with_defaults, without_unknown
from autollm.resources.load import Document, read_documents
from autollm.resources.messages import missing, sentence
from autollm.resources.patterns import LOCATION
from autollm.resources.problems import Path, Problem, nearest, shown
from autollm.resources.rules import broken_rules

API_VERSION = "autollm.dev/v1alpha1"
KINDS = ("AutoLLMRun", "DeltaTraining", "MergeTrial")
Schema = Mapping[str, Any]
_log = logging.getLogger(__name__)

_SHAPE = frozenset({"type", "required", "enum", "maxLength", "maxItems", "maxProperties"})
"""The keywords of which a broken one keeps an API server from running any rule; here it keeps those of the values around it."""


@dataclass(frozen=True)
class Verdict:
    """A document with its defaults filled in, and what is wrong with it; the data are to be used only where nothing is."""

    kind: str
    data: dict[str, Any]
    problems: tuple[Problem, ...]


def check_file(file: FilePath) -> list[Verdict]:
    """Return the verdicts on a file's documents; those of other API groups beside AutoLLM's own are passed over, with a warning.

    Raises DocumentError where the file cannot be read.
    """
    documents = read_documents(file)
    own = [document for document in documents if not _is_of_others(document.data)]
    for document in documents if own else ():  # a file of others alone is most likely the wrong one
        if document not in own:
            kind, version = document.data["kind"], document.data["apiVersion"]
            _log.warning("%s:%s the %s of %s is not AutoLLM's, and is passed over", file, document.line(()), kind, version)
    return [check(document) for document in own or documents]


def check(document: Document) -> Verdict:
    """Return the verdict on a document, its problems in the order of their lines."""
    kind = document.data.get("kind")
    problems = list(_unknown_kind(document.data))
    data = document.data
    if not problems:
        data, found = check_data(str(kind), document.data)
        problems.extend(found)
    numbered = [problem if problem.line else replace(problem, line=document.line(problem.path)) for problem in problems]
    return Verdict(str(kind), data, tuple(sorted({*document.problems, *numbered}, key=lambda problem: (problem.line or 0, problem.field))))


def check_data(kind: str, data: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return plain data of a kind with its defaults filled in, and what is wrong with it.

    The status is dropped, as an API server does: it is not the user's to write.
    """
    schema = schema_of(kind)
    spec = {name: value for name, value in data.items() if name != "status"}
    filled = {"metadata": {}} | with_defaults(schema, without_unknown(schema, spec))
    misshapen, wrong = _schema_problems(schema, filled)
    wrong += repeated_entries(schema, filled)
    paths = [frozenset(problem.path for problem in problems) for problems in (misshapen, wrong)]
    broken = broken_rules(schema, filled, misshapen=paths[0], wrong=paths[1])
    return filled, [*unknown_fields(schema, data), *misshapen, *wrong, *broken]


@cache
def schema_of(kind: str) -> Schema:
    """Return the JSON schema of a kind, rules and defaults included."""
    text = files("autollm.resources").joinpath("schema", f"{kind.lower()}.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def located(verdict: Verdict, folder: FilePath) -> dict[str, Any]:
    """Return the data of a verdict with every relative location made absolute, counted from a folder."""
    data: dict[str, Any] = _located(schema_of(verdict.kind), verdict.data, folder)
    return data


def _located(schema: Schema, value: Any, folder: FilePath) -> Any:
    if isinstance(value, dict):
        fields: Schema = schema.get("properties", {})
        return {name: _located(fields.get(name, {}), part, folder) for name, part in value.items()}
    if isinstance(value, list):
        return [_located(schema.get("items", {}), part, folder) for part in value]
    if schema.get(LOCATION) and "://" not in value:
        return (folder / FilePath(value).expanduser()).resolve().as_uri()
    return value


def _is_of_others(data: Mapping[str, Any]) -> bool:
    version, kind = data.get("apiVersion"), data.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str) and version and kind):
        return False
    return version.partition("/")[0] != API_VERSION.partition("/")[0] and kind not in KINDS


def _unknown_kind(data: Mapping[str, Any]) -> Iterable[Problem]:
    version, kind = data.get("apiVersion"), data.get("kind")
    if version != API_VERSION:
        yield Problem(("apiVersion",), f"must be {API_VERSION}, not {shown(version)}" if version else f"is missing: write {API_VERSION}")
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS)
        yield Problem(("kind",), f"{shown(kind)} is an unknown kind: {hint}" if kind else f"is missing: write one of {', '.join(KINDS)}")


def _schema_problems(schema: Schema, data: Mapping[str, Any]) -> tuple[list[Problem], list[Problem]]:
    """Return the problems on which an API server does not run its rules any more, and those beside which it does."""
    import jsonschema_rs

    misshapen: list[Problem] = []
    wrong: list[Problem] = []
    for error in jsonschema_rs.Draft202012Validator(dict(schema)).iter_errors(data):
        path: Path = tuple(error.instance_path)
        keyword, limit = error.kind.name, error.kind.value
        problems = misshapen if keyword in _SHAPE else wrong
        if keyword == "required":
            problems.append(Problem((*path, limit), missing(_description(schema, (*path, limit)))))
        elif keyword == "propertyNames":
            problems.append(Problem(path, f"the key {sentence(limit.kind.name, limit.kind.value, limit.instance)}"))
        else:
            problems.append(Problem(path, sentence(keyword, limit, error.instance)))
    told = {problem.path for problem in (*misshapen, *wrong)}
    oversized = [(path, types, value) for path, types, value in oversized_numbers(schema, data) if path not in told]
    return [*misshapen, *(Problem(path, sentence("type", types, value)) for path, types, value in oversized)], wrong


def _description(schema: Schema, path: Path) -> str:
    for part in path:
        inner = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        schema = inner or schema.get("additionalProperties") or {}
    return str(schema.get("description", ""))
