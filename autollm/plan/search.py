"""Search: a candidate for every free slot, until a stop rule says that it is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from autollm.plan.actions import AskCandidate
from autollm.plan.clock import clock_of, going, searched, stopped
from autollm.plan.evaluators import occupy
from autollm.plan.field import Field
from autollm.plan.landscape import failure_of, is_pending, ranked
from autollm.plan.snapshot import Snapshot
from autollm.plan.step import Ended, Step, Verdict, Working
from autollm.plan.waiting import with_waits
from autollm.plan.weights import plain_weights, shown
from autollm.resources.merge_trial import MergeTrial
from autollm.resources.run import RunSpec
from autollm.resources.run_status import Best, SearchClock, TrialCounts
from autollm.resources.values import parse_duration
from autollm.search import Finished, Request, SpaceExhausted, start_points, suggest_at_once


@dataclass(frozen=True)
class Tally:
    """The trials of the search so far.

    Attributes:
        trials: Those whose candidates the document allows: they count, and the best is one of them.
        outside: The others of the landscape, from before its space changed: the optimiser learns from them, and nothing else does.
    """

    trials: Sequence[MergeTrial]
    outside: Sequence[MergeTrial]

    @cached_property
    def pending(self) -> list[MergeTrial]:
        """Those without an outcome."""
        return [trial for trial in self.trials if is_pending(trial)]

    @cached_property
    def failed(self) -> list[MergeTrial]:
        """Those without a score."""
        return [trial for trial in self.trials if failure_of(trial) is not None]

    @cached_property
    def best_first(self) -> list[MergeTrial]:
        """The scored ones."""
        return ranked(self.trials)

    def counts(self) -> TrialCounts:
        """Return what the run's status says."""
        scored = len(self.best_first)
        return TrialCounts(total=len(self.trials), succeeded=scored, failed=len(self.failed), running=len(self.pending))


def search(snapshot: Snapshot, field: Field, now: datetime) -> Step:
    """Have candidates scored on the search split."""
    tally = _tally(snapshot, field)
    clock = _clock(snapshot, field, tally, now)
    fields = {"trials": tally.counts(), "best": best_of(tally.best_first), "clock": stopped(clock, now) if clock is not None else None}
    if len(tally.failed) > snapshot.spec.search.max_failed:
        told = failure_of(tally.failed[-1])
        message = (
            f"{len(tally.failed)} trials failed, and search.maxFailed allows {snapshot.spec.search.max_failed}; raise it to go on. "
            f"The last one: {told.message if told else ''}"
        )
        return _ended("TooManyFailedTrials", message, fields)
    enough = _enough(snapshot, field, tally, clock, now)
    if enough and not tally.pending and not any(is_pending(trial) for trial in tally.outside):
        if not tally.best_first:
            return _ended("NoScores", "Not one trial was scored, so there is nothing to choose from.", fields)
        return Step(verdicts=(Verdict("SearchComplete", "True", enough.reason, enough.message),), fields=fields)
    slots = occupy(snapshot, field, now)
    if slots.failure is not None:
        return _ended(slots.failure.reason, slots.failure.message, fields)
    if clock is not None and slots.at_work:
        clock = going(clock, now)
        fields |= {"clock": clock}
    asked = () if enough else _ask(snapshot, field, tally, slots.free)
    until = None if enough else _until(snapshot, clock)
    counts = tally.counts()
    done = f"{counts.succeeded + counts.failed} of {snapshot.spec.search.trials} trials are done."
    working = Working("Searching", with_waits(done, slots.waits))
    return Step(
        working,
        (Verdict("SearchComplete", "Unknown", working.reason, working.message),),
        (*slots.actions, *asked),
        slots.tasks,
        fields | {"results": None},
        min((moment for moment in (slots.look_again, until) if moment), default=None),
    )


def _tally(snapshot: Snapshot, field: Field) -> Tally:
    searched = field.landscapes.trials(snapshot, field.landscapes.search)
    trials = [trial for trial in searched if field.allows(trial)]
    allowed = {trial.metadata.name for trial in trials}
    return Tally(trials, [trial for trial in searched if trial.metadata.name not in allowed])


def best_of(best_first: Sequence[MergeTrial]) -> Best | None:
    """Return the incumbent as the status shows it."""
    for trial in best_first:
        status = trial.status
        if status and status.score is not None and status.standard_error is not None:
            weights = shown(trial.spec.weights)
            return Best(trial=trial.metadata.name, score=status.score, standard_error=status.standard_error, weights=weights)
    return None


@dataclass(frozen=True)
class Enough:
    """Why no further candidate is asked for."""

    reason: str
    message: str


def _enough(snapshot: Snapshot, field: Field, tally: Tally, clock: SearchClock | None, now: datetime) -> Enough | None:
    """Return the stop rule that holds, if any."""
    spec = snapshot.spec.search
    if len(tally.trials) >= spec.trials:
        return Enough("TrialsDone", _all_done(len(tally.trials)))
    exhausted_with = snapshot.exhausted.get(field.landscapes.search)
    # With fewer trials than then, one that was given up or deleted has left its candidate to be tried again.
    if (exhausted_with is not None and len(tally.trials) + len(tally.outside) >= exhausted_with) or (
        tally.trials and not field.space.parameters
    ):
        return Enough("SpaceExhausted", "Every candidate of the space was tried.")
    stop = spec.stop
    if stop is not None and stop.without_improvement is not None:
        since = _without_improvement(tally.best_first)
        if since >= stop.without_improvement:
            return Enough("NoImprovement", f"The last {since} trials were no better than the best before them.")
    if stop is not None and stop.after is not None and clock is not None and searched(clock, now) >= _allowed(stop.after):
        return Enough("TimeUp", f"The search has had the {stop.after} that search.stop.after gives it.")
    return None


def _until(snapshot: Snapshot, clock: SearchClock | None) -> datetime | None:
    """Return when the time is up, if nothing stops the clock before."""
    stop = snapshot.spec.search.stop
    if stop is None or stop.after is None or clock is None or clock.stopped is not None:
        return None
    return datetime.fromisoformat(clock.begun) + _allowed(stop.after)


def _allowed(after: str) -> timedelta:
    return timedelta(seconds=parse_duration(after))


def _all_done(trials: int) -> str:
    return "The one trial is done." if trials == 1 else f"All {trials} trials are done."


def _clock(snapshot: Snapshot, field: Field, tally: Tally, now: datetime) -> SearchClock | None:
    """Return how long the search has been under way, where it is to end after a time and has begun."""
    stop = snapshot.spec.search.stop
    if stop is None or stop.after is None:
        return None
    clock = clock_of(snapshot, field.landscapes.search, [trial for trial in tally.trials if not is_pending(trial)], now)
    state = snapshot.task(field.template.id)
    if clock is None or (state is not None and state.slots):
        return clock
    # Whoever keeps the clock may have been away together with the evaluators: their last trial tells until when they were at work.
    created = [datetime.fromisoformat(at) for trial in tally.trials if (at := trial.metadata.creation_timestamp) is not None]
    return stopped(clock, min(max([datetime.fromisoformat(clock.begun), *created]), now))


def _without_improvement(best_first: Sequence[MergeTrial]) -> int:
    if not best_first:
        return 0
    return sum(trial.spec.place > best_first[0].spec.place for trial in best_first)


def _ask(snapshot: Snapshot, field: Field, tally: Tally, free: Sequence[int]) -> tuple[AskCandidate, ...]:
    """Ask for a candidate for each free slot; where there is none, for the next that becomes free.

    A question that follows another must know its answer. Where that takes an optimiser, the following ones are asked by later plans.
    """
    request = _request(snapshot, field, tally)
    if not free:
        # A single evaluator's next candidate is worth waiting for: it is chosen from every result before it.
        ahead = (None,) if snapshot.spec.search.parallelism > 1 else ()
        return tuple(_question(snapshot, field, slot, request) for slot in ahead)
    asked: list[AskCandidate] = []
    for slot in free[: snapshot.spec.search.trials - len(tally.trials)]:
        asked.append(_question(snapshot, field, slot, request))
        try:
            known = suggest_at_once(request)
        except SpaceExhausted:
            break  # whoever asks finds that out, too
        if known is None:
            break
        request = request.followed_by(known.weights)
    return tuple(asked)


def _question(snapshot: Snapshot, field: Field, slot: int | None, request: Request) -> AskCandidate:
    return AskCandidate(snapshot.name, field.landscapes.search, field.landscapes.sample, slot, request)


def _request(snapshot: Snapshot, field: Field, tally: Tally) -> Request:
    spec = snapshot.spec
    numbers = [trial.spec.place for trial in snapshot.trials if trial.spec.landscape == field.landscapes.search]
    return Request(
        space=field.space,
        finished=tuple(_finished(trial) for trial in (*tally.trials, *tally.outside) if not is_pending(trial)),
        pending=tuple(plain_weights(trial.spec.weights) for trial in tally.pending),
        starts=start_points(
            field.space, trials=spec.search.trials, user=_user_points(spec), manual=_manual_points(spec), published=field.published
        ),
        optimizer=spec.search.optimizer,
        seed=spec.search.seed,
        number=max(numbers, default=-1) + 1,
    )


def _finished(trial: MergeTrial) -> Finished:
    status = trial.status
    score = float(status.score) if status and status.score is not None else None
    error = float(status.standard_error) if status and status.standard_error is not None else 0.0
    return Finished(trial.spec.place, plain_weights(trial.spec.weights), score, error)


def _user_points(spec: RunSpec) -> list[dict[str, float]]:
    return [plain_weights(point.weights) for point in spec.search.start or []]


def _manual_points(spec: RunSpec) -> dict[str, dict[str, float]]:
    return {point.name: plain_weights(point.weights) for point in spec.baselines.manual or []}


def _ended(reason: str, message: str, fields: Mapping[str, object]) -> Step:
    return Step(Ended(False, reason, message), (Verdict("SearchComplete", "False", reason, message),), fields=fields)
