"""The scalar values of the documents: decimals, durations, names and URIs, each with its schema and its bounds."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

DECIMAL_PATTERN = r"^[+-]?([0-9]{1,12}([.][0-9]{1,12})?|[.][0-9]{1,12})([eE][+-]?[0-9]{1,2})?$"
DURATION_PATTERN = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DELTA_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(/[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
SELECTOR_PATTERN = r"^[-a-z0-9*?]+(/[-a-z0-9*?]+)?$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
_S3 = "s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[^ ]*)?"
_FILE = "file:///.*"
_HUB = "hf://[A-Za-z0-9][-._A-Za-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*(@[A-Za-z0-9][-._/A-Za-z0-9]*)?"
_PACKAGE = "package://[A-Za-z_][._A-Za-z0-9]*/[^ ]+"
_PATH = "[^: ][^:]*"
URI_PATTERN = rf"^({_S3}|{_FILE}|{_HUB}|{_PACKAGE}|{_PATH})$"
SOURCE_PATTERN = rf"^({_S3}|{_FILE}|{_PACKAGE}|{_PATH})$"
FOLDER_PATTERN = rf"^({_S3}|{_FILE}|{_PATH})$"
URI_PATTERNS = (URI_PATTERN, SOURCE_PATTERN, FOLDER_PATTERN)
LOCATION = "x-autollm-location"
"""Marks, in the editor's schema, the fields in which a relative path counts from the document; no CRD carries it."""

_DECIMAL = re.compile(DECIMAL_PATTERN)
_DURATION = re.compile(DURATION_PATTERN)
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def parse_decimal(value: object) -> Decimal:
    """Read a decimal as the documents write it: a quoted number, or a bare whole number.

    Raises ValueError for anything else, so that what passes here also passes the API server's int-or-string.
    """
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise ValueError(f'{value!r} is not a decimal: write a number in quotes, such as "0.5", or a bare whole number')


def format_decimal(value: Decimal) -> str | int:
    """Write a decimal back: whole numbers bare, everything else as text."""
    if value == value.to_integral_value() and abs(value) < 10**9:
        return int(value)
    return str(value)


def parse_duration(text: str) -> int:
    """Read a duration such as `90s`, `30m` or `1h30m` as whole seconds; raises ValueError for other forms."""
    if not text or not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write hours, minutes and seconds such as 6h, 30m, 90s or 1h30m")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([hms])", text))


def _decimal_schema(low: str | None, high: str | None, *, above: str | None, below: str | None) -> dict[str, Any]:
    """int-or-string has no numeric bounds in a structural schema, so bounds become CEL rules on the value itself."""
    rules = []
    for sign, bound, words in ((">=", low, "at least"), ("<=", high, "at most"), (">", above, "above"), ("<", below, "below")):
        if bound is not None:
            rules.append({"rule": f"double(self) {sign} {float(bound)!r}", "message": f"must be {words} {bound}"})
    schema: dict[str, Any] = {"x-kubernetes-int-or-string": True, "pattern": DECIMAL_PATTERN, "maxLength": 32}
    return schema | ({"x-kubernetes-validations": rules} if rules else {})


def decimal(low: str | None = None, high: str | None = None, *, above: str | None = None, below: str | None = None) -> Any:
    """The annotations of a decimal field with inclusive (`low`, `high`) or exclusive (`above`, `below`) bounds."""
    bounds: dict[str, Any] = {"ge": low, "le": high, "gt": above, "lt": below}
    numbers: dict[str, Any] = {word: Decimal(bound) for word, bound in bounds.items() if bound is not None}
    return Annotated[
        Decimal,
        BeforeValidator(parse_decimal),
        Field(**numbers),
        PlainSerializer(format_decimal, return_type=str | int),
        WithJsonSchema(_decimal_schema(low, high, above=above, below=below)),
    ]


def _check_duration(value: object) -> object:
    if isinstance(value, str):
        parse_duration(value)
    return value


Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=24), BeforeValidator(_check_duration)]
"""A span of time as text; `parse_duration` gives its seconds."""

RunName = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=40)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=40)]
"""A DNS label of at most 40 characters: sources, methods, metrics, ready-made deltas, manual points."""

DeltaName = Annotated[str, Field(pattern=DELTA_PATTERN, min_length=1, max_length=96)]
"""SOURCE/METHOD, SOURCE-0003/METHOD, `all`, or the name of a ready-made delta."""

DeltaSelector = Annotated[str, Field(pattern=SELECTOR_PATTERN, min_length=1, max_length=96)]
"""A delta's name, or a pattern with `*` and `?` over names."""

Uri = Annotated[str, Field(pattern=URI_PATTERN, min_length=1, max_length=1024)]
"""s3://bucket/key, file:///path, hf://org/name[@revision], package://module/file, or a path relative to the document."""

SourceUri = Annotated[str, Field(pattern=SOURCE_PATTERN, min_length=1, max_length=1024)]
"""Where records are read from: all of Uri but hf://."""

FolderUri = Annotated[str, Field(pattern=FOLDER_PATTERN, min_length=1, max_length=1024)]
"""What can be written to: s3://bucket/prefix, file:///folder, or a folder relative to the document."""

Digest = Annotated[str, Field(pattern=DIGEST_PATTERN, max_length=71)]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]

Weight = decimal("-10", "10")
"""A weight of a delta: 0 leaves it out, 1 adds it whole; negative weights subtract it."""

Share = decimal("0", "1")
HeldOutShare = decimal("0", "0.9")
Similarity = decimal("0.5", "1")
PositiveDecimal = decimal(above="0")
LearningRate = decimal(above="0", high="1")
Confidence = decimal("0.5", below="1")
Margin = decimal("0", "1")
MetricWeight = decimal("0", "1000")
Score = decimal()
