"""One pass over a run: see how it stands, plan, say so in its status, tell what is new in it, do what the plan asks for."""

from __future__ import annotations

from autollm.plan.actions import AskCandidate, EnsureTrial, FailTrial, RestartEvaluator
from autollm.plan.plan import Plan, plan
from autollm.plan.snapshot import Snapshot
from autollm.resources.run import AutoLLMRun
from autollm.resources.run_status import RunStatus
from autollm_operator.api.resources import RUNS
from autollm_operator.cache.parsed import Parsed
from autollm_operator.reconcile.attempts import AT_ONCE, Attempts
from autollm_operator.reconcile.breakdowns import PATIENCE
from autollm_operator.reconcile.events import news, tell
from autollm_operator.reconcile.hands import Hands, Subject
from autollm_operator.reconcile.keeping import keep_or_expire, reported_in
from autollm_operator.reconcile.observing import observe
from autollm_operator.reconcile.obstacles import Obstacles
from autollm_operator.reconcile.outdated import outdated
from autollm_operator.reconcile.status import is_stalled, told_before, with_problem
from autollm_operator.reconcile.tasks import jobs_of, next_look

OF_TRIALS = (AskCandidate, EnsureTrial, FailTrial, RestartEvaluator)
"""Actions that come before the status is written, so that a slot gets its next trial at once and the status tells of both in one write.

An evaluator that hangs is replaced with them: once its trial has failed, no plan asks for that any more."""

ROUNDS = 64
"""How often a pass plans again because of a trial: enough to fill all slots, and an end to it whatever happens."""


def reconcile_run(hands: Hands, obstacles: Obstacles, row: Parsed[AutoLLMRun], run: AutoLLMRun, subject: Subject) -> float | None:
    """Do what a plan of a run asks for; return in how many seconds to look again, or None until something happens."""
    now, before = subject.now, run.status or RunStatus()
    new_here = not obstacles.has_passed(row.uid)
    attempts = Attempts(hands, obstacles, subject, patience=AT_ONCE if new_here and is_stalled(before, row.generation) else PATIENCE)
    seen, made = _plan_with_trials(hands, attempts, row, run, subject)
    problem = told_before(before, made.status, row.generation) if new_here else obstacles.first(row.uid)
    status = made.status if problem is None else with_problem(made.status, problem, before.conditions or [], row.generation, now)
    hands.statuses.write(RUNS, row, status)
    # At once: where something below fails, the next pass finds nothing new in the status.
    for told in news(before, status):
        tell(hands.api, subject.parent, told, now)
    renewals = [stop for stop in outdated(hands, subject, jobs_of(hands.cache, row.uid)) if stop not in made.actions]
    changed = attempts.all([*(action for action in made.actions if not isinstance(action, OF_TRIALS)), *renewals])
    jobs = tuple(jobs_of(hands.cache, row.uid))
    services = hands.rendezvous.due(jobs, now)
    attempts.all(services)
    obstacles.retain(row.uid, [*made.actions, *renewals, *services])
    trainings = hands.cache.children(row.uid).trainings
    keep_or_expire(hands, subject, attempts, jobs, reported_in(seen, made, trainings))
    attempts.end()
    again = AT_ONCE if changed or obstacles.first(row.uid) != problem else None
    looks = [again, made.requeue_after, obstacles.next_look(row.uid, now), next_look(hands.cache, jobs, now), *attempts.looks]
    return min((look.total_seconds() for look in looks if look is not None), default=None)


def _plan_with_trials(
    hands: Hands, attempts: Attempts, row: Parsed[AutoLLMRun], run: AutoLLMRun, subject: Subject
) -> tuple[Snapshot, Plan]:
    """Plan, and create and end trials until a plan asks for no more of that."""
    for _ in range(ROUNDS):
        seen = observe(hands, row, run, subject.now)
        made = plan(seen, subject.now)
        if not attempts.in_order(action for action in made.actions if isinstance(action, OF_TRIALS)):
            return seen, made
    attempts.looks.append(AT_ONCE)
    return seen, made
