"""What workers would report, made up: every fact follows from the task alone, so that any order of events must end in the same state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal

from autollm.contract.digests import digest_bytes, digest_document
from autollm.contract.layout import delta_manifest, trial_results
from autollm.contract.tasks import PinTask, PrepareTask, PublishTask
from autollm.plan.trainings import planned_keys, planned_trainings
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.facts import (
    ChunkFact,
    Difference,
    Existing,
    ImportedDelta,
    ItemsFact,
    ModelFact,
    Prepared,
    PublishedRevision,
    Seconds,
    Shape,
    TrainedDelta,
    TrialResult,
)
from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec
from autollm.resources.run import RunSpec

ITEMS = 40


def prepared(task: PrepareTask, existing: Collection[str] = (), published: PublishedRevision | None = None) -> Prepared:
    """One chunk for every source to train on, whose shape is what its path is called after."""
    spec = task.spec
    trained = [source for source in spec.sources if source.use == "Train"]
    facts = Prepared(
        key=task.key,
        model=model_fact(spec),
        manifest=digest_document({"manifest": task.key}),
        records=100 * len(trained),
        dropped={},
        chunks=[chunk(source.name, source.file.uri if source.file else "") for source in trained],
        search=ItemsFact(digest=digest_bytes(b"search"), count=ITEMS),
        test=ItemsFact(digest=digest_bytes(b"test"), count=ITEMS),
        imported=[
            ImportedDelta(name=delta.name, key=digest_bytes(delta.name.encode()), digest=digest_bytes(b"imported"))
            for delta in spec.deltas or []
        ],
        published=seen(published, task.known),
        task=task.id,
    )
    return facts.model_copy(update={"existing": Existing.among(planned_keys(planned_trainings(spec, facts)), existing)})


def seen(latest: PublishedRevision | None, known: str | None) -> PublishedRevision | None:
    """What prepare says of the revision in use: of a large one that the run's status knows already, not what is in it."""
    large = latest is not None and latest.packed is not None
    return latest.model_copy(update={"packed": ""}) if latest is not None and large and latest.digest == known else latest


def model_fact(spec: RunSpec) -> ModelFact:
    """The base model, whose digest is that of its location."""
    uri = spec.model.uri
    return ModelFact(uri=uri, digest=digest_bytes(uri.encode()), dtype="Float32", parameters=1000)


def chunk(name: str, uri: str = "", **shapes: int) -> ChunkFact:
    """A chunk of ten records."""
    shape: Shape = "preference" if "preference" in uri else "text" if "text" in uri else "messages"
    return ChunkFact.model_validate(
        {"name": name, "source": name, "digest": digest_bytes(f"{name} {uri}".encode()), "records": 10, "shapes": shapes or {shape: 10}}
    )


def delta_digest(key: str) -> str:
    """The digest of the manifest of a delta."""
    return digest_bytes(f"manifest of {key}".encode())


def trained(spec: DeltaTrainingSpec) -> TrainedDelta:
    """The delta that a training makes."""
    return TrainedDelta(key=spec.key, digest=delta_digest(spec.key), uri=f"{spec.artifacts.uri}/{delta_manifest(spec.key)}")


def truth(spec: MergeTrialSpec) -> float:
    """The score of a candidate: highest where every delta has a weight of its own, between 0.3 and 0.9."""
    if spec.model is not None:
        return 0.45
    distances = ((float(weight) - best_weight(name)) ** 2 - best_weight(name) ** 2 for name, weight in spec.weights.items())
    return 0.5 - 0.3 * sum(distances)


def best_weight(delta: str) -> float:
    """The weight at which a delta helps most."""
    return 0.3 + int(digest_bytes(delta.encode())[7:11], 16) / 0xFFFF * 0.6


def result(trial: MergeTrial, others: Mapping[str, MergeTrial]) -> TrialResult:
    """The result of a trial; compared with the trials that it is to be compared with."""
    score = truth(trial.spec)
    differences = []
    for comparison in trial.spec.against or []:
        difference = score - truth(others[comparison.trial].spec)
        differences.append(
            Difference(
                trial=comparison.trial,
                difference=number(difference),
                low=number(difference - 0.01),
                high=number(difference + 0.01),
                gate_low=number(difference - 0.008),
            )
        )
    return TrialResult(
        score=number(score),
        standard_error=Decimal("0.01"),
        items=trial.spec.items or ITEMS,
        metrics=[],
        sources=[],
        seconds=Seconds(merge=Decimal("0.1"), evaluate=Decimal("0.9")),
        results=f"file:///artifacts/{trial_results(trial.spec.run, trial.metadata.name)}",
        differences=differences or None,
    )


def published(task: PublishTask, before: int) -> PublishedRevision:
    """The revision that follows `before` others."""
    name = f"r{before + 1}"
    return PublishedRevision(
        revision=name,
        uri=f"{task.artifacts.uri}/revisions/{name}",
        digest=digest_document({"revision": name, "weights": {name: str(weight) for name, weight in task.weights.items()}}),
        base=task.model.digest,
        weights=task.weights,
        deltas={delta.name: delta.key for delta in task.deltas},
        trial=task.trial,
        as_of=task.as_of,
        task=task.id,
    ).fit_for_status()


def pinned(task: PinTask, revisions: Mapping[str, PublishedRevision]) -> PublishedRevision:
    """A revision that was published before."""
    return revisions[task.revision].model_copy(update={"as_of": task.as_of, "task": task.id})


def number(value: float) -> Decimal:
    """A score as it is written."""
    return Decimal(f"{value:.6f}")
