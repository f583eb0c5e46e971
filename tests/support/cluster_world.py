"""A made-up cluster in which the operator carries runs out: an API server in memory, Jobs that end when the test says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from autollm.contract.exit_codes import ExitCode
from autollm.contract.pod import CONTAINER, MANAGED_BY_LABEL, TASK_ANNOTATION, TASK_LABEL, unpack_task
from autollm.contract.tasks import TASK, AnyTask, EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.plan.landscape import is_pending
from autollm.resources.facts import PublishedRevision
from autollm.resources.merge_trial import MergeTrial, MergeTrialStatus
from autollm.resources.metadata import Failure
from autollm.resources.run import AutoLLMRun
from autollm.search import Request, Suggestion, suggest
from autollm_operator.api.port import Document, NotFoundError
from autollm_operator.api.resources import JOBS, PODS, RUNS, TRAININGS, TRIALS, WATCHED, Resource
from autollm_operator.cache.cache import Cache
from autollm_operator.cache.keys import Key
from autollm_operator.reconcile.dispatch import Reconciler
from autollm_operator.reconcile.suggesting import Suggesting
from autollm_operator.settings import Settings
from support import synthetic
from support.fake_api import Call, Change, FakeApi, When
from support.runs import make_run

START = datetime(2026, 1, 1, tzinfo=UTC)
NAMESPACE = "team-a"
SETTINGS = Settings.parse({"workers": {"image": "registry.test/autollm-runtime:1"}})
REMOTE: dict[str, Any] = {
    "model": {"uri": "hf://test/tiny"},
    "artifacts": {"uri": "s3://models/demo"},
    "sources": [{"name": "math", "file": {"uri": "s3://data/math.jsonl"}}, {"name": "code", "file": {"uri": "s3://data/code.jsonl"}}],
}


class Killed(BaseException):
    """The operator's process ends at once."""


class Optimizer:
    """The optimiser without a process of its own."""

    def prepare(self, request: Request) -> None:
        pass

    def ask(self, request: Request, budget_seconds: float) -> Suggestion:
        return suggest(request)


def remote_run(name: str = "demo", **changes: Any) -> AutoLLMRun:
    """Return a run of two sources and one method in places that pods can reach, with changes to its spec."""
    return make_run(name, **{**REMOTE, **changes})


class ClusterWorld:
    """`reconcile` lets the operator do all it can, `finish` lets one Job or trial come to its end, `settle` both until nothing is left.

    Attributes:
        done: Every piece of work that was really done, for tests to count.
        fails: Of a task, how its worker ends without success; of a trial, the failure in place of its score.
        events: What the operator has not been told yet; a test may repeat and shuffle it.
        on_call: Asked about each request of the operator; raises what it is to see.
    """

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.now = START
        self.settings = settings
        self.api = FakeApi(clock=lambda: self.now)
        self.events: list[tuple[Change, Resource, Document]] = []
        self.done: list[str] = []
        self.deltas: set[str] = set()
        self.revisions: dict[str, PublishedRevision] = {}
        self.fails: Callable[[AnyTask], tuple[ExitCode, Failure | None] | None] = lambda task: None
        self.spoils: Callable[[MergeTrial], Failure | None] = lambda trial: None
        self.on_call: Callable[[Call, When], None] = lambda call, when: None
        self.looks: dict[Key, datetime] = {}
        self._operator_at_work = False
        self.api.fault = self._fault
        self.api.listen(lambda change, resource, document: self.events.append((change, resource, document)))
        self.start_operator()

    # The operator

    def start_operator(self) -> None:
        """Start another process in place of the operator's, which knows nothing but what it lists."""
        self.cache = Cache()
        self.suggesting = Suggesting(Optimizer(), 20.0, self.wake)
        clocks = (lambda: self.now, lambda: self.now.timestamp())
        self.reconciler = Reconciler(self.api, self.cache, self.suggesting, self.settings, *clocks)
        self.events.clear()
        self.looks = {}
        self.resync()

    def resync(self) -> None:
        """Let the operator list everything, as it does when it starts and now and then."""
        for resource in WATCHED:
            self.cache.replace(resource, None, self.api.list(resource))
        for key in self.cache.keys():  # noqa: SIM118  # a cache is no dict
            self.wake(key)

    def wake(self, key: Key) -> None:
        """Have a key looked at."""
        self.looks[key] = self.now

    def deliver(self) -> None:
        """Tell the operator what happened."""
        events, self.events = self.events, []
        for change, resource, document in events:
            if resource in WATCHED:
                for key in self.cache.drop(resource, document) if change == "DELETED" else self.cache.put(resource, document):
                    self.wake(key)

    def reconcile(self) -> None:
        """Let the operator work until it waits for something to happen."""
        for _ in range(500):
            self.deliver()
            due = min((key for key, at in self.looks.items() if at <= self.now), default=None)
            if due is None:
                return
            del self.looks[due]
            self._operator_at_work = True
            try:
                seconds = self.reconciler.reconcile(due)
            finally:
                self._operator_at_work = False
            if seconds is not None:
                self.looks[due] = min(self.now + timedelta(seconds=seconds), self.looks.get(due, datetime.max.replace(tzinfo=UTC)))
        raise AssertionError(f"the operator does not come to rest: {sorted(self.looks)}, last calls {self.api.calls[-10:]}")

    def settle(self, limit: int = 500) -> None:
        """Let the operator and the workers work until nothing is left to do."""
        for _ in range(limit):
            self.reconcile()
            ready = self.running()
            if ready:
                self.finish(ready[0])
            elif self.looks:
                self.now = min(self.looks.values())
                if self.now > START + timedelta(days=1):
                    return
            else:
                return
        raise AssertionError(f"the run does not settle: {self.conditions()}")

    # The user

    def apply(self, run: AutoLLMRun) -> None:
        """Let the user apply a run, for the first time or with another spec."""
        document = {**run.document(), "metadata": {"name": run.metadata.name, "namespace": NAMESPACE}}
        if self.find(RUNS, run.metadata.name) is None:
            self.api.create(RUNS, document)
        else:
            # A merge patch leaves fields that the new spec does not have: here, none of them matter.
            self.api.patch(RUNS, NAMESPACE, run.metadata.name, {"spec": document["spec"]})

    def delete(self, resource: Resource, name: str) -> None:
        """Let somebody delete an object."""
        found = self.find(resource, name)
        if found is not None:
            self.api.delete(resource, NAMESPACE, name, uid=found["metadata"]["uid"])

    # The workers

    def running(self) -> list[str]:
        """Return what could end next: Jobs, and trials whose evaluator is there."""
        jobs = [
            job
            for job in self.all(JOBS)
            if MANAGED_BY_LABEL in job["metadata"].get("labels", {}) and not _ended(job) and not job["spec"].get("suspend")
        ]
        tasks = {job["metadata"]["name"]: task_of(job) for job in jobs}
        pools = [(task.run, job) for job in jobs if isinstance(task := task_of(job), EvaluateTask) and task.trial is None]
        slots = {(run, slot) for run, job in pools for slot in range(job["spec"]["parallelism"])}
        trials = [trial for trial in self.trials() if is_pending(trial)]
        errands = [name for name, task in tasks.items() if not isinstance(task, EvaluateTask) or task.trial is not None]
        return errands + sorted(trial.metadata.name for trial in trials if (trial.spec.run, trial.spec.slot) in slots)

    def finish(self, name: str) -> None:
        """Let a Job or a trial come to its end, and report."""
        self.now += timedelta(seconds=1)
        job = self.find(JOBS, name)
        if job is not None:
            self._finish_job(job)
        else:
            self._finish_trial(name)

    def report(self, job: Document) -> None:
        """Let the worker of a Job report, whether or not the Job is still there."""
        task = task_of(job)
        stored = (self.find(RUNS, task.run) or {}).get("status", {}).get("published")
        published = PublishedRevision.parse(stored) if stored else None
        match task:
            case PrepareTask():
                prepared = synthetic.prepared(task, self.deltas, published)
                self._apply("autollm-prepare", RUNS, task.run, {"prepared": prepared.document()})
            case TrainTask():
                if task.spec.key not in self.deltas:
                    self.done.append(task.spec.key)
                self.deltas.add(task.spec.key)
                self._apply("autollm-train", TRAININGS, task.training, {"delta": synthetic.trained(task.spec).document()})
            case PublishTask():
                revision = synthetic.published(task, len(self.revisions))
                self.revisions[revision.revision] = revision
                self.done.append(revision.revision)
                self._apply("autollm-publish", RUNS, task.run, {"published": revision.document()})
            case PinTask():
                self._apply("autollm-publish", RUNS, task.run, {"published": synthetic.pinned(task, self.revisions).document()})
            case EvaluateTask():
                assert task.trial is not None, "evaluators of a search do not end by themselves"
                self._finish_trial(task.trial)

    def end_job(self, name: str, condition: str, reason: str, message: str = "") -> None:
        """Let the Job controller say how a Job ended."""
        conditions = [{"type": condition, "status": "True", "reason": reason, "message": message, "lastTransitionTime": self.stamp()}]
        status = {"conditions": conditions} | ({"completionTime": self.stamp()} if condition == "Complete" else {})
        self.api.patch(JOBS, NAMESPACE, name, {"status": status}, subresource="status")

    def start_pod(self, job_name: str, index: int = 0, status: Mapping[str, Any] | None = None) -> Document:
        """Let the Job controller make a pod, and a node run it."""
        job = self.get(JOBS, job_name)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": job["metadata"]["uid"], "controller": True}
        name = f"{job_name}-{index}-{len(self.api.calls)}"
        labels = {**job["spec"]["template"]["metadata"]["labels"], "batch.kubernetes.io/job-completion-index": str(index)}
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels, "ownerReferences": [owner]}
        self.api.create(PODS, {"metadata": metadata, "spec": {"containers": [{"name": CONTAINER, "image": "runtime"}]}})
        running = {"phase": "Running", "containerStatuses": [{"name": CONTAINER, "state": {"running": {"startedAt": self.stamp()}}}]}
        return self.api.patch(PODS, NAMESPACE, name, {"status": status or running}, subresource="status")

    # What there is

    def get(self, resource: Resource, name: str) -> Document:
        """Return an object."""
        found = self.find(resource, name)
        assert found is not None, f"no {resource.kind} {name}"
        return found

    def find(self, resource: Resource, name: str) -> Document | None:
        """Return an object, or None."""
        try:
            return self.api.get(resource, NAMESPACE, name)
        except NotFoundError:
            return None

    def all(self, resource: Resource) -> list[Document]:
        """Return all objects of a kind."""
        return [*self.api.list(resource, NAMESPACE)]

    def jobs(self, task: str = "") -> list[str]:
        """Return the names of the Jobs, of all or of one kind of task."""
        found = {job["metadata"]["name"]: job["metadata"].get("labels", {}).get(TASK_LABEL) for job in self.all(JOBS)}
        return [name for name, label in found.items() if task in ("", label)]

    def run(self, name: str = "demo") -> AutoLLMRun:
        """Return a run."""
        return AutoLLMRun.parse(self.get(RUNS, name))

    def trials(self, split: str = "") -> list[MergeTrial]:
        """Return the trials, of all or of one split, by number."""
        ours = [row for row in self.all(TRIALS) if "run" in row["spec"]]
        found = [trial for trial in map(MergeTrial.parse, ours) if split in ("", trial.spec.split)]
        return sorted(found, key=lambda trial: (trial.spec.split, trial.spec.place, trial.metadata.name))

    def conditions(self, name: str = "demo") -> dict[str, tuple[str, str]]:
        """Return status and reason of every condition of a run."""
        status = self.run(name).status
        return {condition.type: (condition.status, condition.reason) for condition in (status.conditions if status else None) or []}

    def message(self, condition: str, name: str = "demo") -> str:
        """Return the message of a condition of a run."""
        status = self.run(name).status
        return next((found.message for found in (status.conditions if status else None) or [] if found.type == condition), "")

    def final_state(self, name: str = "demo") -> dict[str, Any]:
        """Return all of a run that does not depend on times or on who did what first."""
        children = [*self.all(TRAININGS), *self.all(TRIALS)]
        lasting = {child["metadata"]["name"]: _lasting(child) for child in children}
        return {"status": _timeless(self.get(RUNS, name)["status"]), "children": lasting, "done": sorted(self.done)}

    def stamp(self) -> str:
        """Return the time as the API server writes it."""
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _fault(self, call: Call, when: When) -> None:
        if self._operator_at_work:
            self.on_call(call, when)

    def _finish_job(self, job: Document) -> None:
        name = job["metadata"]["name"]
        ending = self.fails(task_of(job))
        if ending is None:
            self.report(job)
            self.end_job(name, "Complete", "CompletionsReached")
            return
        code, failure = ending
        ended = {"exitCode": int(code), "reason": "Error", "finishedAt": self.stamp()}
        ended |= {"message": json.dumps(failure.document())} if failure else {}
        pod = self.start_pod(name, status={"phase": "Failed", "containerStatuses": [{"name": CONTAINER, "state": {"terminated": ended}}]})
        place = f"{NAMESPACE}/{pod['metadata']['name']}"
        self.end_job(
            name, "Failed", "PodFailurePolicy", f"Container worker for pod {place} failed with exit code {code} matching FailJob rule"
        )

    def _apply(self, manager: str, resource: Resource, name: str, status: Document) -> None:
        metadata = {"name": name, "namespace": NAMESPACE}
        self.api.as_manager(manager).apply_status(resource, {"metadata": metadata, "status": status})

    def _finish_trial(self, name: str) -> None:
        others = {trial.metadata.name: trial for trial in self.trials()}
        trial = others[name]
        failure = self.spoils(trial)
        if failure is None:
            self.done.append(name)
        outcome = MergeTrialStatus(failure=failure) if failure else MergeTrialStatus.model_validate(dict(synthetic.result(trial, others)))
        patch = {"metadata": {"uid": trial.metadata.uid}, "status": outcome.document()}
        self.api.patch(TRIALS, NAMESPACE, name, patch, subresource="status")


def task_of(job: Document) -> AnyTask:
    """Return what the pods of a Job are told to do."""
    return TASK.validate_json(unpack_task(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION]))


def _ended(job: Document) -> bool:
    return bool(job.get("status", {}).get("conditions")) or "deletionTimestamp" in job["metadata"]


def _lasting(row: Document) -> Document:
    # Which slot was free first, and how many results were known by then, is a matter of luck.
    spec = {name: value for name, value in row["spec"].items() if name not in ("slot", "origin")}
    return {"spec": spec, "status": _timeless(row["status"])}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(item) for name, item in value.items() if name not in ("lastTransitionTime", "creationTimestamp")}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
