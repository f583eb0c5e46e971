"""The forecast of a run: what the planner would make of the sources as they look from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from autollm.errors import DocumentError
from autollm.forecast.compute import BYTES_PER_TOKEN, Trained, gpu_hours, scoring_operations
from autollm.forecast.facts import expected_facts
from autollm.forecast.survey import Survey
from autollm.plan.baselines import result_rows
from autollm.plan.deltas import delta_keys
from autollm.plan.field import Field, lay_out
from autollm.plan.names import with_present_names
from autollm.plan.problems import Problem, data_problem, document_problem
from autollm.plan.snapshot import Snapshot
from autollm.plan.trainings import ALL, PlannedTraining, planned_trainings
from autollm.resources.facts import Prepared
from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec
from autollm.resources.metadata import ChildMetadata
from autollm.resources.run import AutoLLMRun


@dataclass(frozen=True)
class TrialsAhead:
    """How many candidates are scored: in the search, as finalists on the whole search split, and on the test split."""

    search: int
    finalists: int
    test: int


@dataclass(frozen=True)
class Hours:
    """GPU hours by kind of work."""

    train: float
    evaluate: float


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        jobs: By kind of task.
        trainings: How many deltas of each source and method are trained; equal ones once.
        weights: How many weights are searched.
        hours: None where the size of the model, or of the data, is not known.
    """

    run: AutoLLMRun
    surveys: Mapping[str, Survey]
    facts: Prepared
    jobs: Mapping[str, int]
    trainings: Mapping[tuple[str, str], int]
    trials: TrialsAhead
    weights: int
    hours: Hours | None


def forecast(run: AutoLLMRun, surveys: Mapping[str, Survey], parameters: int | None, tflops: float) -> Forecast:
    """Return the forecast; raises DocumentError for a document that cannot be planned."""
    _refuse(document_problem(run.spec))
    facts = expected_facts(run.spec, surveys, parameters or 0)
    spec = with_present_names(run.spec, facts)
    planned = planned_trainings(spec, facts)
    _refuse(data_problem(spec, facts, planned))
    field = lay_out(Snapshot(run.model_copy(update={"spec": spec})), facts, delta_keys(facts, planned))
    if not isinstance(field, Field):
        _refuse(field)
        raise AssertionError
    once = {training.key: training for training in planned}
    trials = _trials(run, field)
    return Forecast(
        run,
        surveys,
        facts,
        {"prepare": 1, "train": len(once), "evaluate": 1, "publish": 1},
        _by_source_and_method(facts, list(once.values())),
        trials,
        len(field.space.parameters),
        _hours(run, surveys, facts, list(once.values()), trials, parameters, tflops),
    )


def _refuse(problem: Problem | None) -> None:
    if problem is not None:
        raise DocumentError(f"{problem.reason}: {problem.message}")


def _by_source_and_method(facts: Prepared, trainings: list[PlannedTraining]) -> dict[tuple[str, str], int]:
    sources = {chunk.name: chunk.source for chunk in facts.chunks} | {ALL: ALL}
    counts: dict[tuple[str, str], int] = {}
    for training in trainings:
        place = (sources[training.spec.chunk.name], training.spec.method.name)
        counts[place] = counts.get(place, 0) + 1
    return counts


def _trials(run: AutoLLMRun, field: Field) -> TrialsAhead:
    """Count the rows of the results table as the planner makes them, with finalists that are none of the baselines."""
    spec = run.spec
    first = next(iter(field.deltas), None)
    places = range(min(spec.search.finalists, spec.search.trials))
    finalists = [
        MergeTrial(
            metadata=ChildMetadata(name=f"finalist-{place}"),
            spec=MergeTrialSpec(run=run.metadata.name, split="Search", weights={first: Decimal(place + 1) / 1000} if first else {}),
        )
        for place in places
    ]
    rows = {row.identity for row in result_rows(spec, field, finalists, None)}
    return TrialsAhead(spec.search.trials, len(finalists) if field.landscapes.sample is not None else 0, len(rows))


def _hours(
    run: AutoLLMRun,
    surveys: Mapping[str, Survey],
    facts: Prepared,
    trainings: list[PlannedTraining],
    trials: TrialsAhead,
    parameters: int | None,
    tflops: float,
) -> Hours | None:
    spec = run.spec
    if parameters is None or any(survey.records is None for survey in surveys.values()):
        return None
    records = {chunk.name: chunk.records for chunk in facts.chunks}
    records[ALL] = sum(records.values())
    tokens = _tokens(spec.data.max_tokens, surveys)
    sources = {chunk.name: chunk.source for chunk in facts.chunks}
    train = 0.0
    for training in trainings:
        name = training.spec.chunk.name
        work = Trained(training.spec.method, training.spec.adapter, records[name], tokens.get(sources.get(name, ""), tokens[""]))
        train += work.operations(parameters)
    metrics = spec.evaluation.effective_metrics
    drawn = min(spec.search.items or facts.search.count, facts.search.count)
    scored = trials.search * drawn + trials.finalists * facts.search.count + trials.test * facts.test.count
    evaluate = scoring_operations(metrics, scored, tokens[""], parameters)
    return Hours(gpu_hours(train, tflops), gpu_hours(evaluate, tflops))


def _tokens(longest: int, surveys: Mapping[str, Survey]) -> dict[str, float]:
    """Return the tokens of an average record by source, and of all sources under the empty name."""
    tokens = {name: min(float(longest), survey.record_bytes / BYTES_PER_TOKEN) for name, survey in surveys.items()}
    total = sum(survey.records or 0 for survey in surveys.values())
    mean = sum(tokens[name] * (survey.records or 0) for name, survey in surveys.items()) / max(1, total)
    return tokens | {"": mean}
