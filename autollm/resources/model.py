"""What every type of the documents has in common: camelCase on the wire, frozen values, no unknown fields, CEL rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD, run by the API server and by `autollm validate` alike."""

    rule: str
    message: str
    field_path: str | None = None


def exactly_one(*names: str) -> Rule:
    """The rule of a union: of these optional siblings exactly one is set."""
    listed = ", ".join(names)
    return Rule(f"[{', '.join(f'has(self.{name})' for name in names)}].filter(x, x).size() == 1", f"exactly one of {listed} must be set")


def at_most_one(*names: str) -> Rule:
    """The rule of a union that may stay absent, which means automatic."""
    listed = ", ".join(names)
    return Rule(f"[{', '.join(f'has(self.{name})' for name in names)}].filter(x, x).size() <= 1", f"at most one of {listed} may be set")


class Model(BaseModel):
    """A part of a document."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()

    def document(self) -> dict[str, Any]:
        """Return the part as it is written in YAML and JSON: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Read a part that was validated already, or raise pydantic's ValidationError."""
        return cls.model_validate(document)
