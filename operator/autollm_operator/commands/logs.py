"""The logs of a run's pods, asked of their nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from autollm.cli.place import Kind
from autollm.contract.pod import CONTAINER, MANAGED_BY, MANAGED_BY_LABEL
from autollm.errors import InputError
from autollm_operator.api.port import Api, UnavailableError
from autollm_operator.api.resources import PODS, RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.pods import pod_view
from autollm_operator.cache.views import JobView, PodView
from autollm_operator.commands.objects import children, jobs_of, read_object

QUIET_SECONDS = 86_400
"""How long a log that is followed may say nothing."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_RESOURCES: dict[Kind, Resource] = {"AutoLLMRun": RUNS, "DeltaTraining": TRAININGS, "MergeTrial": TRIALS}


@dataclass(frozen=True)
class Pods:
    """The pods that work, or worked, for one object; of a run those of one task alone, where it is named."""

    api: Api
    settings: client.Configuration
    namespace: str
    kind: Kind
    name: str
    task: str | None = None

    def find(self) -> tuple[list[PodView], bool]:
        """Return the pods, oldest Job first, and whether more may come; raises InputError where there is no such object or task."""
        jobs, slot = self._jobs()
        if self.task is not None:
            jobs = [job for job in jobs if job.name == self.task]
            if not jobs:
                raise InputError(f"{self.name} has no Job {self.task}: `kubectl get jobs -n {self.namespace}` lists those that are there")
        order = {job.uid: place for place, job in enumerate(jobs)}
        listed = (pod_view(pod) for pod in self.api.list(PODS, self.namespace, labels=f"{MANAGED_BY_LABEL}={MANAGED_BY}"))
        pods = [pod for pod in listed if pod.owner is not None and pod.owner.uid in order and slot in (None, pod.index)]
        pods.sort(key=lambda pod: (order[pod.owner.uid] if pod.owner else 0, pod.index, pod.name))
        return pods, any(job.outcome is None for job in jobs)

    def _jobs(self) -> tuple[list[JobView], int | None]:
        document = read_object(self.api, _RESOURCES[self.kind], self.namespace, self.name)
        uid, spec = document["metadata"]["uid"], document["spec"]
        if self.kind == "AutoLLMRun":
            trainings = [child["metadata"]["uid"] for child in children(self.api, TRAININGS, self.namespace, self.name, uid)]
            return jobs_of(self.api, self.namespace, frozenset({uid, *trainings})), None
        if self.kind == "MergeTrial" and spec.get("slot") is not None:
            run = read_object(self.api, RUNS, self.namespace, spec["run"])
            evaluators = jobs_of(self.api, self.namespace, frozenset({run["metadata"]["uid"]}))
            return [job for job in evaluators if job.task == "evaluate"], spec["slot"]
        return jobs_of(self.api, self.namespace, frozenset({uid})), None

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(client.ApiClient(self.settings))

    def lines(self, pod: PodView) -> Iterator[str]:
        """Yield the lines that a pod's log has now; raises UnavailableError where its node does not give them."""
        return self._stream(pod, follow=False)

    def stamped(self, pod: PodView) -> Iterator[tuple[str, str]]:
        """Yield the lines of a pod's log until it ends, each after its time; raises UnavailableError where its node does not give them."""
        for line in self._stream(pod, follow=True):
            stamp, _, rest = line.partition(" ")
            # Of one node all are written alike, to the nanosecond; what the kubelet itself has to say has none.
            yield (stamp, rest) if _STAMP.match(stamp) else ("", line)

    def _stream(self, pod: PodView, *, follow: bool) -> Iterator[str]:
        try:
            answer: Any = self._core.read_namespaced_pod_log(
                pod.name,
                self.namespace,
                container=CONTAINER,
                follow=follow,
                timestamps=follow,
                _preload_content=False,
                _request_timeout=(5, QUIET_SECONDS if follow else 60),
            )
            rest = b""
            for data in answer.stream(amt=None):
                *whole, rest = (rest + data).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
            if rest:
                yield rest.decode(errors="replace")
        except (ApiException, HTTPError, OSError) as error:
            reason = error.reason if isinstance(error, ApiException) else error
            raise UnavailableError(f"the log of the pod {pod.name} cannot be read: {reason}") from error


def read_logs(pods: Pods) -> Iterator[tuple[str, str]]:
    """Yield what the logs hold now, pod by pod."""
    for pod in pods.find()[0]:
        if pod.waiting or pod.phase == "Pending":
            yield pod.name, pod.waiting or "It has not begun yet."
            continue
        try:
            for line in pods.lines(pod):
                yield pod.name, line
        except UnavailableError as error:
            yield pod.name, str(error)
