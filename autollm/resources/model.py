"""What every type of the documents has in common: camelCase on the wire, frozen values, no unknown fields, CEL rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

RESERVED_NAMES = ("base", "all", "average", "auto", "published")


@dataclass(frozen=True)
class Rule:
    """A CEL rule of the CRD, run by the API server and by `autollm validate` alike."""

    rule: str
    message: str
    field_path: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the rule as the CRD spells it."""
        place = {} if self.field_path is None else {"fieldPath": f".{self.field_path}"}
        return {"rule": self.rule, "message": self.message} | place


def exactly_one(*names: str) -> Rule:
    """The rule of a union: of these optional siblings exactly one is set."""
    if len(names) == 1:
        return Rule(f"has(self.{names[0]})", f"{names[0]} must be set")
    return Rule(f"{_count(names)} == 1", f"exactly one of {_listed(names)} must be set; one without settings is written {{}}")


def at_most_one(*names: str) -> Rule:
    """The rule of a union that may stay absent, which means automatic."""
    return Rule(f"{_count(names)} <= 1", f"at most one of {_listed(names)} may be set; none means that it is chosen automatically")


def not_reserved(what: str) -> Rule:
    """The rule that keeps the words of the results table free."""
    return Rule(
        " && ".join(f"self.name != '{word}'" for word in RESERVED_NAMES),
        f"the names {', '.join(RESERVED_NAMES)} are reserved for rows of the results table; give the {what} another name",
        "name",
    )


def _count(names: tuple[str, ...]) -> str:
    return f"[{', '.join(f'has(self.{name})' for name in names)}].filter(x, x).size()"


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


class Model(BaseModel):
    """A part of a document."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
    rules: ClassVar[tuple[Rule, ...]] = ()
    root_rules: ClassVar[tuple[Rule, ...]] = ()
    """Of a kind: rules on the whole object, spec and status together."""

    def document(self) -> dict[str, Any]:
        """Return the part as it is written in YAML and JSON: camelCase, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Put the rules and the defaults that are made by a call into the type's schema, as the CRD spells them."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema["x-kubernetes-validations"] = [rule.document() for rule in cls.rules]
        for name, field in cls.model_fields.items():
            if field.default_factory is not None:  # written out, since defaults of the inner fields are not filled into a default
                schema["properties"][field.alias or name]["default"] = field.get_default(call_default_factory=True).document()
        return schema

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Read a part that was validated already, or raise pydantic's ValidationError."""
        return cls.model_validate(document)
