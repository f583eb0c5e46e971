"""The reference of the documents in Markdown, written from their schemas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from autollm.resources import patterns
from autollm.resources.structural import Schema

_INTRODUCTION = """# The documents

Generated from the types by `python -m autollm.resources.generate`; `autollm validate` and a Kubernetes API server with the CRDs
of `crds/` hold to the same. An editor that knows JSON schemas completes and checks these documents with
`autollm/resources/schema/*.json`.

How values are written:

* A **decimal** is a number in quotes, such as `"0.5"` or `"2e-4"`, or a bare whole number. YAML readers disagree on bare fractions, so
  `0.5` without quotes is refused.
* A **duration** is made of hours, minutes and seconds: `90s`, `30m`, `1h30m`.
* A **quantity** is Kubernetes': a whole number, or a number with a unit, such as `16Gi`, `500m` or `4`.
* A **name** is a DNS label of at most 40 characters: small letters, digits and dashes.
* A **location** is `s3://bucket/key`, `file:///path`, `hf://org/name[@revision]`, `package://python_package/file`, or a path that counts
  from the document.
* Where one of several fields chooses a kind (`sft`, `dpo`, `pretrain`), exactly one is written; one without settings is written `{}`. A
  blank one is null, which counts as absent.
* An unknown field is an error, as is a key that is written twice.
"""

_SENTENCES = {
    "AutoLLMRun": "The one document a user writes: from data to a published model. Short name `alr`.",
    "DeltaTraining": "One chunk × one method; the planner writes it. Short name `dt`.",
    "MergeTrial": "One candidate on one split; the planner writes it. Short name `mt`.",
}
_TYPES = {
    patterns.DECIMAL: "decimal",
    patterns.DURATION: "duration",
    patterns.NAME: "name",
    patterns.DIGEST: "digest",
    patterns.DELTA: "delta",
    patterns.SELECTOR: "pattern of deltas",
    patterns.QUANTITY: "quantity",
    **dict.fromkeys(patterns.LOCATIONS, "location"),
}


def reference(schemas: Sequence[Schema]) -> str:
    """Return the reference of all kinds: a table for each object, in the order of the document, and the rules that join its fields."""
    parts = [_INTRODUCTION]
    described: dict[str, str] = {}
    for schema in schemas:
        kind = schema["title"]
        parts.append(f"## {kind}\n\n{_SENTENCES[kind]}\n")
        parts.append(f"`metadata.name` has at most {schema['properties']['metadata']['properties']['name']['maxLength']} characters.\n")
        for section in ("spec", "status"):
            prefix = "" if kind == "AutoLLMRun" else f"{kind} "
            parts.extend(_sections(f"{prefix}{section}", schema["properties"][section], described))
    return "\n".join(part for part in parts if part)


def _rules(schema: Schema) -> str:
    """Return the rules that join the fields, as a list; those on changes concern nobody who writes a document."""
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", ()) if "oldSelf" not in rule["rule"]]
    return "".join(f"* {message}.\n" for message in rules)


def _sections(path: str, schema: Schema, described: dict[str, str]) -> Iterator[str]:
    """Yield the parts on an object and on those inside; one that was described before is only referred to, by `described`."""
    fields: Mapping[str, Schema] = schema["properties"]
    if not fields:
        return
    yield f"### {path}\n"
    yield f"{_sentence(schema.get('description', ''))}\n"
    body = _table(schema) + "\n" + _rules(schema)
    if body in described:
        yield f"The fields are those of [{described[body]}](#{_anchor(described[body])}).\n"
        return
    described[body] = path
    yield body.rstrip("\n") + "\n"
    for name, field in fields.items():
        inner, suffix = (field["items"], "[]") if field.get("type") == "array" else (field, "")
        if "properties" in inner:
            yield from _sections(f"{path}.{name}{suffix}", inner, described)


def _anchor(heading: str) -> str:
    """Return the anchor that Markdown renderers give to a heading."""
    return "".join(letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def _table(schema: Schema) -> str:
    required = schema.get("required", ())
    lines = ["| field | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for name, field in schema["properties"].items():
        cells = (f"`{name}`", _type(field), _default(field, name in required), _bounds(field), _sentence(field.get("description", "")))
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("*/", "\\*/").replace("/*", "/\\*").replace("with * ", "with \\* ")


def _type(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("pattern") in _TYPES:
        return _TYPES[field["pattern"]]
    kind = field["type"]
    if kind == "array":
        return f"list of {_plural(_type(field['items']))}"
    if kind == "object" and isinstance(field.get("additionalProperties"), Mapping):
        return f"map to {_plural(_type(field['additionalProperties']))}"
    return {"integer": "whole number", "boolean": "`true` or `false`", "string": "text"}.get(str(kind), "object")


def _plural(kind: str) -> str:
    if kind.startswith(("`", "list")) or kind == "text":
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("ty") else f"{kind}s"


def _default(field: Schema, required: bool) -> str:
    if required:
        return "**required**"
    default = field.get("default")
    if default in (None, "") or isinstance(default, Mapping):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f'`"{default}"`' if isinstance(default, str) and field.get("pattern") == patterns.DECIMAL and "." in default else f"`{default}`"


def _bounds(field: Schema) -> str:
    rules = [rule["message"] for rule in field.get("x-kubernetes-validations", ()) if "double(self)" in rule["rule"]]
    low_high = [message.rpartition(" ")[2] for message in rules if message.startswith(("must be at least", "must be at most"))]
    words = [f"{low_high[0]} to {low_high[1]}"] if len(low_high) == 2 else [message.removeprefix("must be ") for message in rules]
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
        ("minLength", "maxLength", " characters"),
    ):
        if unit == " characters" and field.get("pattern") in _TYPES:
            continue
        if field.get(low) and high in field:
            words.append(f"{field[low]:,} to {field[high]:,}{unit}")
        elif high in field:
            words.append(f"at most {field[high]:,}{unit}")
        elif low in field:
            words.append(f"at least {field[low]:,}{unit}")
    return ", ".join(words)


def _sentence(text: str) -> str:
    """End the text as a sentence; it begins with a capital unless it begins with something that is written small, such as a URI."""
    text = " ".join(text.split())
    if text.partition(" ")[0].isalpha():
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", ")")) else f"{text}."
