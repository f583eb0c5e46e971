"""What an API server says of a document, and which fields it blames, beside what `autollm validate` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autollm.resources.load import Document
from autollm.resources.validate import check
from cluster.connection import Answer, Connection

_UNCHECKED = "some validation rules were not checked"
_STRICT = re.compile(r'unknown field "((?:[^"\\]|\\.)*)"')
_PLURALS = {"AutoLLMRun": "autollmruns", "DeltaTraining": "deltatrainings", "MergeTrial": "mergetrials"}


@dataclass(frozen=True)
class Verdict:
    """Whether a document is refused, and the fields that are blamed.

    Attributes:
        seen: How far the server looked: it stops where a field is unknown, and runs no rules where a value has not the shape it should.
    """

    refused: bool
    fields: frozenset[str]
    text: str
    seen: Literal["Fields", "Shapes", "All"] = "All"


def of_server(admin: Connection, namespace: str, document: Mapping[str, Any]) -> Verdict:
    """Ask an API server for its verdict, with strict field validation, without storing anything."""
    plural = _PLURALS.get(document.get("kind", ""), _PLURALS["AutoLLMRun"])
    path = f"/apis/autollm.dev/v1alpha1/namespaces/{namespace}/{plural}?dryRun=All&fieldValidation=Strict"
    return _verdict(admin.ask("POST", path, document))


def of_validate(document: Mapping[str, Any]) -> Verdict:
    """The verdict of `autollm validate`."""
    problems = check(Document(dict(document), Path("run.yaml"), {})).problems
    fields = frozenset(spelled(problem.field) for problem in problems)
    return Verdict(bool(problems), fields, "\n".join(problem.text("") for problem in problems))


def agree(server: Verdict, validate: Verdict) -> bool:
    """Whether both blame the same fields, as far as the server looked."""
    if server.refused != validate.refused:
        return False
    match server.seen:
        case "All":
            return server.fields == validate.fields
        case "Shapes":
            return server.fields <= validate.fields
        case "Fields":  # a mapping in place of something else has unknown fields; validate says what it should be instead
            return all(any(field == blamed or field.startswith(f"{blamed}.") for blamed in validate.fields) for field in server.fields)


def _verdict(answer: Answer) -> Verdict:
    message = str(answer.document.get("message", ""))
    if answer.status < 400:
        return Verdict(refused=False, fields=frozenset(), text="")
    if answer.status == 400:
        return Verdict(True, frozenset(_before_decoding(message)), message, "Fields")
    assert answer.status == 422, message
    fields = frozenset(map(_field, answer.document["details"]["causes"])) - {""}
    return Verdict(True, fields, message, "Shapes" if _UNCHECKED in message else "All")


def _field(cause: Mapping[str, str]) -> str:
    """The field of a cause; none for a remark that names no field, or where a rule met a value that another cause refuses."""
    message = cause["message"]
    if cause["field"] == "<nil>":
        return "metadata.name" if "metadata.name" in message else ""
    # Entries without their key are blamed for that; that two of them are alike is no more than what follows.
    return "" if "evaluating rule:" in message or message == "Duplicate value: {}" else spelled(cause["field"])


def spelled(field: str) -> str:
    """A field in one spelling: the server writes a map's key both as .key and as [key], and of labels it names no key."""
    plain = re.sub(r"\[(?![0-9]+\])([^\]]*)\]", r".\1", field)
    return re.sub(r"^(metadata\.(labels|annotations))\..*", r"\1", plain)


def _before_decoding(message: str) -> list[str]:
    """The fields of a document that is no object of its kind."""
    if "Object 'Kind' is missing" in message:
        return ["kind"]
    if "API version in the data" in message or 'in version "v1" cannot' in message:
        return ["apiVersion"]
    return [spelled(field.encode().decode("unicode_escape")) for field in _STRICT.findall(message)]
