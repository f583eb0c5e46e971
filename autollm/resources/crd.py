"""The CustomResourceDefinitions of the three kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.metadata import API_VERSION
from autollm.resources.model import Model, Rule
from autollm.resources.run import AutoLLMRun
from autollm.resources.structural import Schema, structural_schema

GROUP, VERSION = API_VERSION.split("/")


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; one that is wide shows with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def document(self) -> dict[str, Any]:
        """Return the column as the CRD spells it."""
        column = {"name": self.name, "type": self.type, "jsonPath": self.path, "description": self.description}
        return column | ({"priority": 1} if self.wide else {})


@dataclass(frozen=True)
class Kind:
    """What a CustomResourceDefinition says beside its schema."""

    model: type[Model]
    plural: str
    short: str
    longest_name: int
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    dotted_name: bool = False
    categories: tuple[str, ...] = ("autollm",)

    @property
    def name(self) -> str:
        """The kind's name."""
        return self.model.__name__


def _condition(kind: str, field: str = "status") -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "How long ago it was made.", "date")
_WHY = Column("Message", _condition("Succeeded", "message"), "What there is to say about it.", wide=True)

KINDS = (
    Kind(
        AutoLLMRun,
        "autollmruns",
        "alr",
        40,
        (
            Column("Succeeded", _condition("Succeeded"), "Unknown while the run is under way."),
            Column("Doing", _condition("Reconciling", "reason"), "What is under way; once nothing is, how it ended."),
            Column("Deltas", ".status.deltas.ready", "Deltas that are ready.", "integer"),
            Column("Trials", ".status.trials.succeeded", "Trials that have a score.", "integer"),
            Column("Best", ".status.best.score", "The incumbent's score on the search split."),
            Column("Published", ".status.published.revision", "The revision in use."),
            Column("Stalled", _condition("Stalled"), "Whether it needs somebody to go on; Doing then says why.", wide=True),
            _WHY,
            _AGE,
        ),
    ),
    Kind(
        DeltaTraining,
        "deltatrainings",
        "dt",
        63,
        (
            Column("Delta", ".spec.delta", "The delta's name."),
            Column("Succeeded", _condition("Succeeded"), "Unknown while it trains."),
            Column("Reused", ".status.reused", "Whether an equal delta was found instead.", "boolean"),
            Column("Step", ".status.progress.step", "Steps that are done.", "integer"),
            Column("Of", ".status.progress.steps", "Steps in all.", "integer"),
            Column("Loss", ".status.progress.loss", "The latest training loss."),
            Column("Tokens/s", ".status.progress.tokensPerSecond", "Tokens that are trained on in a second.", "integer"),
            Column("Why", _condition("Succeeded", "reason"), "The reason of its state.", wide=True),
            _WHY,
            _AGE,
        ),
        dotted_name=True,
    ),
    Kind(
        MergeTrial,
        "mergetrials",
        "mt",
        63,
        (
            Column("Run", ".spec.run", "The run it belongs to."),
            Column("Name", ".spec.name", "Its row of the results table."),
            Column("Split", ".spec.split", "The split it is scored on."),
            Column("Number", ".spec.number", "Its place among the run's trials.", "integer"),
            Column("Succeeded", _condition("Succeeded"), "Unknown until it is scored."),
            Column("Score", ".status.score", "Higher is better."),
            Column("StdErr", ".status.standardError", "The score's standard error."),
            Column("Items", ".status.items", "Items it was scored on.", "integer", wide=True),
            Column("Slot", ".spec.slot", "The evaluator that scores it.", "integer", wide=True),
            Column("Chosen", ".spec.origin.optimizer", "Who chose the candidate; by hand where empty.", wide=True),
            Column("Why", _condition("Succeeded", "reason"), "The reason of its state.", wide=True),
            _WHY,
            _AGE,
        ),
        (".spec.run", ".spec.slot"),
        dotted_name=True,
        categories=(),  # a search has hundreds: `kubectl get autollm` is to tell of runs
    ),
)


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """Return the CRD of a kind (apiextensions.k8s.io/v1) as a plain document."""
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root_schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.document() for column in kind.columns],
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short],
                "categories": list(kind.categories),
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def root_schema(kind: Kind) -> Schema:
    """Return the schema of a whole object: of its metadata Kubernetes allows no schema, so the rules on its name stand at the root."""
    schema = structural_schema(kind.model)
    schema["properties"] |= {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    schema["required"] = ["spec"]
    schema["x-kubernetes-validations"] = [rule.document() for rule in (*name_rules(kind), *kind.model.root_rules)]
    return schema


def name_rules(kind: Kind) -> tuple[Rule, ...]:
    """Return the rules on an object's name; names of children and of files are made from it, so it must be short."""
    limit = kind.longest_name
    length = Rule(f"self.metadata.name.size() <= {limit}", f"metadata.name must have at most {limit} characters: shorten it")
    if kind.dotted_name:
        return (length,)
    return (length, Rule("!self.metadata.name.contains('.')", "metadata.name must be a DNS label, without dots: write - in place of ."))
