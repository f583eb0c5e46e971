"""Which deltas a run needs: every method on every chunk it fits, and train-on-all where asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from autollm.contract.digests import digest_document
from autollm.contract.keys import delta_key, key_parts
from autollm.contract.layout import child_name
from autollm.resources.delta_training import DeltaTrainingSpec, LoadedModel, TrainingChunk
from autollm.resources.facts import ChunkFact, ModelFact, Prepared, Shape
from autollm.resources.run import BaseModelSpec, RunSpec
from autollm.resources.training import Adapter, Lora, Method

ALL = "all"
USABLE: Mapping[str, frozenset[Shape]] = {
    "sft": frozenset({"messages", "preference"}),
    "dpo": frozenset({"preference"}),
    "pretrain": frozenset({"text"}),
}
"""The shapes of records that each kind of method can learn from."""


@dataclass(frozen=True)
class PlannedTraining:
    """One delta that a run needs: its name in the space of weights, and the training that makes it."""

    delta: str
    spec: DeltaTrainingSpec

    @property
    def key(self) -> str:
        """The key of the delta in the artifacts."""
        return self.spec.key

    @property
    def start(self) -> str | None:
        """The key of the delta that this one continues."""
        return self.spec.start

    def name(self, run: str) -> str:
        """Return the name of the DeltaTraining; two deltas of one key, as of methods that differ in name alone, have two."""
        return _name(run, self.key, self.delta)


@lru_cache(maxsize=8192)
def _name(run: str, key: str, delta: str) -> str:
    """Asked for several times in each pass, of as many as a run has."""
    return child_name(run, digest_document({"key": key, "delta": delta}))


def planned_trainings(spec: RunSpec, prepared: Prepared) -> tuple[PlannedTraining, ...]:
    """Return the trainings of a run in the order of chunks, then of methods, train-on-all last.

    Of `prepared` only the model and the chunks are read, so that the prepare task can ask before it knows which deltas exist. A method that
    continues another one is planned for those chunks alone that the other one fits.
    """
    adapter = spec.training.adapter or Adapter(lora=Lora())
    recipes = {method.name: Recipe(spec, prepared.model, method, adapter) for method in in_order(spec.training.methods)}
    planned: list[PlannedTraining] = []
    for chunk in prepared.chunks:
        made: dict[str, PlannedTraining] = {}
        for method in (recipe.method for recipe in recipes.values()):
            if fits(method, chunk) and (method.after is None or method.after in made):
                start = made[method.after].key if method.after else None
                trained = TrainingChunk(name=chunk.name, digests=[chunk.digest])
                made[method.name] = recipes[method.name].training(f"{chunk.name}/{method.name}", trained, start)
        planned += [made[method.name] for method in spec.training.methods if method.name in made]
    if spec.baselines.train_on_all:
        planned += _train_on_all(spec, prepared, recipes)
    return tuple(planned)


def planned_keys(planned: Sequence[PlannedTraining]) -> tuple[str, ...]:
    """Return the keys of the deltas that a run needs, each once, in the order in which `Existing` has a bit for them."""
    return tuple(dict.fromkeys(training.key for training in planned))


def fits(method: Method, chunk: ChunkFact) -> bool:
    """Say whether a method may use a chunk and finds records in it that it can learn from."""
    allowed = method.sources is None or chunk.source in method.sources
    return allowed and any(chunk.shapes.get(shape, 0) > 0 for shape in USABLE[method.kind])


def in_order(methods: Sequence[Method]) -> list[Method]:
    """Return the methods with each after the one that it continues; those that continue each other in a circle are left out."""
    ordered: list[Method] = []
    names: set[str] = set()
    waiting = list(methods)
    while ready := [method for method in waiting if method.after is None or method.after in names]:
        ordered += ready
        names |= {method.name for method in ready}
        waiting = [method for method in waiting if method.name not in names]
    return ordered


def _train_on_all(spec: RunSpec, prepared: Prepared, recipes: Mapping[str, Recipe]) -> list[PlannedTraining]:
    """The first method that starts from the base, on all chunks it fits."""
    first = next((method for method in spec.training.methods if method.after is None), None)
    digests = [chunk.digest for chunk in prepared.chunks if first is not None and fits(first, chunk)]
    if first is None or not digests:
        return []
    return [recipes[first.name].training(ALL, TrainingChunk(name=ALL, digests=digests), None)]


@dataclass(frozen=True)
class Recipe:
    """One method of a run, with what is the same for every chunk that it is tried on."""

    spec: RunSpec
    base: ModelFact
    method: Method
    adapter: Adapter

    def training(self, delta: str, chunk: TrainingChunk, start: str | None) -> PlannedTraining:
        """Return the training of one chunk, or of all of them, that begins with the base or with the delta of the key `start`."""
        spec, base = self.spec, self.base
        max_tokens = spec.data.max_tokens
        key = delta_key(self._parts, base=base.digest, dtype=base.dtype, chunks=chunk.digests, start=start, max_tokens=max_tokens)
        return PlannedTraining(
            delta,
            DeltaTrainingSpec(
                delta=delta,
                key=key,
                model=self._model,
                chunk=chunk,
                method=self.method,
                adapter=self.adapter,
                start=start,
                max_tokens=max_tokens,
                artifacts=spec.artifacts,
                workers=spec.workers,
            ),
        )

    @cached_property
    def _parts(self) -> Mapping[str, Any]:
        return key_parts(self.method, self.adapter)

    @cached_property
    def _model(self) -> LoadedModel:
        return loaded_model(self.base, self.spec.model)


def loaded_model(model: ModelFact, asked: BaseModelSpec) -> LoadedModel:
    """Return the base model as tasks are told of it; the Secret of the one asked for opens the Hub, and not the artifacts."""
    secret = asked.secret_name if model.uri.startswith("hf://") else None
    return LoadedModel(uri=model.uri, revision=model.revision, digest=model.digest, dtype=model.dtype, secret_name=secret)
