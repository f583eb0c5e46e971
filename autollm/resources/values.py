"""The scalar values of the documents: decimals, durations, names and URIs, each with its schema and its bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from autollm.resources import patterns

_DECIMAL = re.compile(patterns.DECIMAL)
_DURATION = re.compile(patterns.DURATION)
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


@dataclass(frozen=True)
class Bounded(GroupedMetadata):
    """What makes a Decimal a decimal of the documents, within inclusive (`low`, `high`) or exclusive (`above`, `below`) bounds."""

    low: str | None = None
    high: str | None = None
    above: str | None = None
    below: str | None = None

    def __iter__(self) -> Iterator[object]:
        """Yield what pydantic is to do: read, check, write and describe the value."""
        yield BeforeValidator(parse_decimal)
        for constraint, bound in ((Ge, self.low), (Le, self.high), (Gt, self.above), (Lt, self.below)):
            if bound is not None:
                yield constraint(Decimal(bound))
        yield PlainSerializer(format_decimal, return_type=str | int)
        yield WithJsonSchema(self._schema())

    def _schema(self) -> dict[str, Any]:
        """int-or-string has no numeric bounds in a structural schema, so bounds become CEL rules on the value itself."""
        words = ((">=", self.low, "at least"), ("<=", self.high, "at most"), (">", self.above, "above"), ("<", self.below, "below"))
        rules = [
            {"rule": f"double(self) {sign} {float(bound)!r}", "message": f"must be {word} {bound}"}
            for sign, bound, word in words
            if bound is not None
        ]
        schema: dict[str, Any] = {"x-kubernetes-int-or-string": True, "pattern": patterns.DECIMAL, "maxLength": 32}
        return schema | ({"x-kubernetes-validations": rules} if rules else {})


def _check_duration(value: object) -> object:
    if isinstance(value, str):
        parse_duration(value)
    return value


Duration = Annotated[str, Field(pattern=patterns.DURATION, min_length=2, max_length=24), BeforeValidator(_check_duration)]
"""A span of time as text; `parse_duration` gives its seconds."""

RunName = Annotated[str, Field(pattern=patterns.NAME, min_length=1, max_length=40)]
Name = Annotated[str, Field(pattern=patterns.NAME, min_length=1, max_length=40)]
"""A DNS label of at most 40 characters: sources, methods, metrics, ready-made deltas, manual points."""

DeltaName = Annotated[str, Field(pattern=patterns.DELTA, min_length=1, max_length=96)]
"""SOURCE/METHOD, SOURCE-0003/METHOD, `all`, or the name of a ready-made delta."""

DeltaSelector = Annotated[str, Field(pattern=patterns.SELECTOR, min_length=1, max_length=96)]
"""A delta's name, or a pattern with `*` and `?` over names."""

Uri = Annotated[str, Field(pattern=patterns.URI, min_length=1, max_length=1024)]
"""s3://bucket/key, file:///path, hf://org/name[@revision], package://module/file, or a path relative to the document."""

SourceUri = Annotated[str, Field(pattern=patterns.SOURCE_URI, min_length=1, max_length=1024)]
"""Where records are read from: all of Uri but hf://."""

FolderUri = Annotated[str, Field(pattern=patterns.FOLDER_URI, min_length=1, max_length=1024)]
"""What can be written to: s3://bucket/prefix, file:///folder, or a folder relative to the document."""

Digest = Annotated[str, Field(pattern=patterns.DIGEST, max_length=71)]
SecretName = Annotated[str, Field(pattern=patterns.OBJECT_REFERENCE, min_length=1, max_length=253)]

Weight = Annotated[Decimal, Bounded("-10", "10")]
"""A weight of a delta: 0 leaves it out, 1 adds it whole; negative weights subtract it."""

Share = Annotated[Decimal, Bounded("0", "1")]
HeldOutShare = Annotated[Decimal, Bounded("0", "0.9")]
Similarity = Annotated[Decimal, Bounded("0.5", "1")]
PositiveDecimal = Annotated[Decimal, Bounded(above="0")]
LearningRate = Annotated[Decimal, Bounded(above="0", high="1")]
Confidence = Annotated[Decimal, Bounded("0.5", below="1")]
Margin = Annotated[Decimal, Bounded("0", "1")]
MetricWeight = Annotated[Decimal, Bounded("0", "1000")]
Score = Annotated[Decimal, Bounded()]
