"""Workers without containers: the pods of Jobs on a real API server are brought through their life, and what they report is made up.

One thread watches pods and one watches trials; no node is needed, because a pod that no scheduler placed may still be said to run and to
have ended. What a task comes to follows from its document alone (`synthetic`), so any order of events must end in the same state.
"""

from __future__ import annotations

import heapq
import itertools
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import urllib3

from autollm.contract.pod import MANAGED_BY, MANAGED_BY_LABEL, OWNER_UID, TASK_ANNOTATION, unpack_task
from autollm.contract.tasks import TASK, AnyTask, EvaluateTask, PinTask, PrepareTask, PublishTask, TrainTask
from autollm.contract.termination import TRIAL
from autollm.resources.facts import Prepared, PublishedRevision
from autollm.resources.merge_trial import MergeTrial
from cluster.connection import APPLY, MERGE, Connection
from support import synthetic

GROUP = "/apis/autollm.dev/v1alpha1"
_INDEX = "batch.kubernetes.io/job-completion-index"
Seconds = Callable[[str], float]
"""How long something takes, by what it is: prepare, train, publish, pin or trial."""


@dataclass(frozen=True)
class Ending:
    """How a pod ends."""

    exit_code: int = 0
    because: str = "Completed"
    message: str = ""
    disrupted: bool = False


Prepares = Callable[[PrepareTask, Collection[str], PublishedRevision | None], Prepared]
"""What a preparation finds, where these deltas are in the artifacts and this revision is published."""

Fault = Callable[[AnyTask, int], Ending | None]
"""Asked before each attempt of a task, with the number of attempts before: an ending in place of the work, or None to do it."""

Killer = Callable[[Mapping[str, Any]], Ending | None]
"""Asked before each trial: how the worker ends that takes it, or None where it scores it."""


Unplaced = Callable[[Mapping[str, Any]], str]
"""Asked about each pod: why no node has room for it, in the scheduler's words, or nothing where one has."""


@dataclass(frozen=True)
class Moment:
    """When a slot's trial got its result and when the slot's next trial was there, by this process's monotonic clock."""

    scored: float
    next_seen: float


@dataclass
class SimulatedPods:
    """All workers of a namespace.

    Attributes:
        done: Every piece of work that was really done, for tests to count: task ids and names of trials.
        moments: For every trial that followed another in its slot, when the one was scored and the other there.
    """

    connection: Connection
    namespace: str
    prepares: Prepares = synthetic.prepared
    seconds: Seconds = lambda what: 0.0
    fault: Fault = lambda task, attempt: None
    killer: Killer = lambda trial: None
    unplaced: Unplaced = lambda pod: ""
    done: list[str] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    deltas: set[str] = field(default_factory=set)
    revisions: dict[str, list[PublishedRevision]] = field(default_factory=dict)
    latest: dict[str, PublishedRevision] = field(default_factory=dict)
    _attempts: dict[str, int] = field(default_factory=dict)
    _pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    _slots: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _busy: dict[tuple[str, str, int], str] = field(default_factory=dict)
    _scored: dict[tuple[str, str, int], float] = field(default_factory=dict)
    _trials: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _waiting: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = field(default_factory=dict)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopped: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> SimulatedPods:
        labels = f"labelSelector={MANAGED_BY_LABEL}={MANAGED_BY}"
        for watched in (
            (f"/api/v1/namespaces/{self.namespace}/pods?{labels}", self._pod_seen),
            (f"{GROUP}/namespaces/{self.namespace}/mergetrials?", self._trial_seen),
        ):
            self._threads.append(threading.Thread(target=self._watch, args=watched, daemon=True))
        self._threads.append(threading.Thread(target=self._work, daemon=True))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def evaluators(self, run: str) -> list[str]:
        """The names of the pods that score a run's trials now, by slot."""
        with self._changed:
            return [pod for (_, name, _), pod in sorted(self._slots.items()) if name == run]

    def end(self, namespace: str, name: str, ending: Ending) -> None:
        """Let a pod end as its node would report it."""
        terminated = {
            "exitCode": ending.exit_code,
            "reason": ending.because,
            "message": ending.message,
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        status: dict[str, Any] = {
            "phase": "Failed" if ending.exit_code or ending.disrupted else "Succeeded",
            "containerStatuses": [_container(terminated=terminated)],
        }
        if ending.disrupted:
            condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "lastTransitionTime": _now()}
            status["conditions"] = [condition]
        self._patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status}, MERGE)

    # What is watched

    def _watch(self, path: str, seen: Callable[[str, dict[str, Any]], None]) -> None:
        while not self._stopped:
            try:
                listed = self.connection.expect("GET", path.rstrip("?"))
                for document in listed["items"]:
                    seen("ADDED", document)
                version = listed["metadata"]["resourceVersion"]
                for event in self._events(f"{path}&watch=1&timeoutSeconds=60&resourceVersion={version}"):
                    if event["type"] == "ERROR":
                        break
                    seen(event["type"], event["object"])
            except (urllib3.exceptions.HTTPError, RuntimeError, ValueError):
                # The API server is away, as some tests want it.
                with self._changed:
                    self._changed.wait(0.1)

    def _events(self, path: str) -> Iterator[dict[str, Any]]:
        for line in self.connection.lines(path):
            if self._stopped:
                return
            yield json.loads(line)

    def _pod_seen(self, kind: str, pod: dict[str, Any]) -> None:
        uid, metadata = pod["metadata"]["uid"], pod["metadata"]
        gone = kind == "DELETED" or "deletionTimestamp" in metadata or pod["status"].get("phase") in ("Succeeded", "Failed")
        with self._changed:
            known = uid in self._pods
            if gone:
                self._pods.pop(uid, None)
                for slot in [slot for slot, name in self._slots.items() if name == metadata["name"]]:
                    del self._slots[slot]
                    self._busy.pop(slot, None)
                return
            self._pods[uid] = pod
            # The cluster's own scheduler, which has no node for any pod, may write its words over ours.
            if not known or not _is_told(pod, self.unplaced(pod)):
                self._later(0.0, lambda: self._start(pod))

    def _trial_seen(self, kind: str, trial: dict[str, Any]) -> None:
        name = trial["metadata"]["namespace"], trial["metadata"]["name"]
        with self._changed:
            slot = trial["metadata"]["namespace"], trial["spec"]["run"], trial["spec"].get("slot", -1)
            new = name not in self._trials
            if kind == "DELETED" or _has_outcome(trial):
                self._waiting.get(slot, {}).pop(name[1], None)
            else:
                self._waiting.setdefault(slot, {})[name[1]] = trial
            if kind == "DELETED":
                self._trials.pop(name, None)
                return
            self._trials[name] = trial
            scored = self._scored.pop(slot, None) if new and not _has_outcome(trial) else None
            if scored is not None and trial["spec"]["split"] == "Search":
                # Before the test, a slot waits for the last trials of the others: nothing is late there.
                self.moments.append(Moment(scored, time.monotonic()))
            self._take(slot)

    # What is done, one thing after the other in one thread, each at its time

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), what))
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._stopped:
                    return
                _, order, what = heapq.heappop(self._due)
            try:
                what()
            except (urllib3.exceptions.HTTPError, RuntimeError):
                with self._changed:
                    heapq.heappush(self._due, (time.monotonic() + 0.2, order, what))

    def _start(self, pod: dict[str, Any]) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if told := self.unplaced(pod):
            no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": told, "lastTransitionTime": _now()}
            self._patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": {"conditions": [no_node]}}, MERGE)
            return
        task = TASK.validate_json(unpack_task(pod["metadata"]["annotations"][TASK_ANNOTATION]))
        attempt = self._attempts.get(task.id, 0)
        self._attempts[task.id] = attempt + 1
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": _now()}
        running = {"phase": "Running", "conditions": [ready], "containerStatuses": [_container(running={"startedAt": _now()})]}
        if not self._patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": running}, MERGE):
            return
        ending = self.fault(task, attempt)
        with self._changed:
            if ending is not None:
                self._later(0.0, lambda: self.end(namespace, name, ending))
            elif isinstance(task, EvaluateTask):
                slot = namespace, task.run, int(pod["metadata"]["annotations"].get(_INDEX, "0"))
                self._slots[slot] = name
                # What the one before it had begun in this slot is this one's to do.
                self._busy.pop(slot, None)
                self._take(slot)
            else:
                self._later(self.seconds(task.kind.lower()), lambda: self._carry_out(task, pod))

    def _carry_out(self, task: AnyTask, pod: dict[str, Any]) -> None:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if pod["metadata"]["uid"] not in self._pods:
            return
        environment = {one["name"]: one.get("value", "") for one in pod["spec"]["containers"][0].get("env", [])}
        uid = environment[OWNER_UID]
        match task:
            case PrepareTask():
                fact = self.prepares(task, self.deltas, self.latest.get(f"{namespace}/{task.run}"))
                self._report(namespace, "autollmruns", "AutoLLMRun", task.run, "prepare", {"prepared": fact.document()}, uid)
            case TrainTask():
                self.deltas.add(task.spec.key)
                delta = {"delta": synthetic.trained(task.spec).document()}
                self._report(namespace, "deltatrainings", "DeltaTraining", task.training, "train", delta, uid)
            case PublishTask() | PinTask():
                self._publish(namespace, task, uid)
        self.done.append(task.id)
        self.end(namespace, name, Ending())

    def _publish(self, namespace: str, task: PublishTask | PinTask, uid: str) -> None:
        run = f"{namespace}/{task.run}"
        made = self.revisions.setdefault(run, [])
        if isinstance(task, PinTask):
            revision = synthetic.pinned(task, {one.revision: one for one in made})
        else:
            revision = synthetic.published(task, len(made))
            made.append(revision)
        self.latest[run] = revision
        self._report(namespace, "autollmruns", "AutoLLMRun", task.run, "publish", {"published": revision.document()}, uid)

    def _take(self, slot: tuple[str, str, int]) -> None:
        """Begin the waiting trial of a slot that has an evaluator and no trial."""
        if slot not in self._slots or slot in self._busy:
            return
        if waiting := self._waiting.get(slot):
            first = min(waiting.values(), key=lambda trial: (trial["spec"].get("number", 0), trial["metadata"]["name"]))
            name = self._busy[slot] = first["metadata"]["name"]
            pod = self._slots[slot]
            if (ending := self.killer(first)) is not None:
                left = replace(ending, message=json.dumps({TRIAL: name}))
                self._later(0.0, lambda: self.end(slot[0], pod, left))
            else:
                self._later(self.seconds("trial"), lambda: self._score(slot, pod, name))

    def _score(self, slot: tuple[str, str, int], pod: str, name: str) -> None:
        namespace = slot[0]
        with self._changed:
            trial = self._trials.get((namespace, name))
            mine = self._slots.get(slot) == pod and self._busy.get(slot) == name
            named = [one["trial"] for one in (trial or {"spec": {}})["spec"].get("against", [])]
            others = {other: self._trials[namespace, other] for other in named}
        if mine and trial is not None and not _has_outcome(trial):
            parsed = {other: MergeTrial.parse(document) for other, document in others.items()}
            outcome = synthetic.result(MergeTrial.parse(trial), parsed).document()
            condition = {
                "type": "Succeeded",
                "status": "True",
                "reason": "Scored",
                "message": "",
                "observedGeneration": trial["metadata"]["generation"],
                "lastTransitionTime": _now(),
            }
            read = {key: trial["metadata"][key] for key in ("uid", "resourceVersion")}
            patch = {"metadata": read, "status": outcome | {"conditions": [condition]}}
            if self._patch(f"{GROUP}/namespaces/{namespace}/mergetrials/{name}/status", patch, MERGE):
                self.done.append(name)
            elif (again := self.connection.ask("GET", f"{GROUP}/namespaces/{namespace}/mergetrials/{name}")).status == 200:
                self._trial_seen("MODIFIED", again.document)
        with self._changed:
            if mine and self._busy.get(slot) == name:
                del self._busy[slot]
                self._scored[slot] = time.monotonic()
                self._waiting.get(slot, {}).pop(name, None)
            self._take(slot)

    # How it is written

    def _report(self, namespace: str, plural: str, kind: str, name: str, manager: str, status: Mapping[str, Any], uid: str) -> None:
        """Apply a part of the status of the object with this uid; of one that was made again by that name, nothing is said."""
        path = f"{GROUP}/namespaces/{namespace}/{plural}/{name}"
        # The API server looks at no uid when a status is applied, so the version stands for it.
        while (found := self._read(path)).get("uid") == uid:
            metadata = {key: found[key] for key in ("name", "namespace", "resourceVersion")}
            document = {"apiVersion": "autollm.dev/v1alpha1", "kind": kind, "metadata": metadata, "status": status}
            if self._patch(f"{path}/status?fieldManager=autollm-{manager}&force=true", document, APPLY):
                return

    def _read(self, path: str) -> dict[str, Any]:
        """Return an object's metadata, empty where it is gone; raises RuntimeError where the API server is not well."""
        answer = self.connection.ask("GET", path)
        if answer.status not in (200, 404):
            raise RuntimeError(f"GET {path}: {answer.status} {answer.document.get('message')}")
        metadata: dict[str, Any] = answer.document["metadata"] if answer.status == 200 else {}
        return metadata

    def _patch(self, path: str, document: Mapping[str, Any], content_type: str) -> bool:
        """Say whether the object took the patch; raises RuntimeError where the API server is not well, so that it is tried again."""
        answer = self.connection.ask("PATCH", path, document, content_type=content_type)
        if answer.status in (404, 409):
            return False
        if answer.status >= 400:
            raise RuntimeError(f"PATCH {path}: {answer.status} {answer.document.get('message')}")
        return True


def _is_told(pod: dict[str, Any], told: str) -> bool:
    """Whether nothing has to be told of why a pod has no node, or it is what the pod's status says."""
    return not told or any(one.get("message") == told for one in pod["status"].get("conditions", []))


def _has_outcome(trial: Mapping[str, Any]) -> bool:
    status = trial.get("status") or {}
    return "score" in status or "failure" in status


def _container(**state: dict[str, Any]) -> dict[str, Any]:
    return {"name": "worker", "image": "simulated", "imageID": "", "restartCount": 0, "ready": "running" in state, "state": state}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
