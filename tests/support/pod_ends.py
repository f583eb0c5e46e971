"""How the pods of runs ended on a real node: watched all along, since a pod that is evicted is gone as soon as it has ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import urllib3

from autollm.contract.pod import MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL, TASK_LABEL
from cluster.connection import Connection


@dataclass(frozen=True)
class PodEnd:
    """How a pod ended.

    Attributes:
        job: The Job that it was made by.
        because: Kubernetes' reason, such as Completed, Error or OOMKilled.
        disruption: Why it was taken away, of its condition DisruptionTarget; empty where it ended by itself.
    """

    pod: str
    job: str
    exit_code: int
    because: str
    disruption: str


@dataclass
class PodEnds:
    """What is seen of a namespace's pods for the length of a `with` block."""

    connection: Connection
    namespace: str
    _last: dict[str, dict[str, Any]] = field(default_factory=dict)
    _thread: threading.Thread | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()

    def of(self, run: str, task: str) -> list[PodEnd]:
        """Return how those pods ended that have, of one kind of task of a run; in the order in which they were made."""
        wanted = {RUN_LABEL: run, TASK_LABEL: task}
        pods = [pod for pod in list(self._last.values()) if wanted.items() <= pod["metadata"]["labels"].items()]
        ends = (_end(pod) for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"])))
        return [end for end in ends if end is not None]

    def codes(self, run: str, task: str) -> list[int]:
        """Return the exit codes of those pods."""
        return [end.exit_code for end in self.of(run, task)]

    def _watch(self) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={MANAGED_BY_LABEL}={MANAGED_BY}"
        version = "0"
        while not self._over.is_set():
            try:
                for line in self.connection.lines(f"{path}&watch=1&timeoutSeconds=60&resourceVersion={version}"):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        version = "0"  # it came too late: from what there is now
                        break
                    pod = event["object"]
                    version = pod["metadata"]["resourceVersion"]
                    self._last[pod["metadata"]["uid"]] = pod
            except urllib3.exceptions.HTTPError:
                self._over.wait(0.1)


def _end(pod: Mapping[str, Any]) -> PodEnd | None:
    ended = next(
        (told["state"]["terminated"] for told in pod["status"].get("containerStatuses", []) if "terminated" in told["state"]), None
    )
    if ended is None:
        return None
    held = (one for one in pod["status"].get("conditions", []) if one["type"] == "DisruptionTarget" and one["status"] == "True")
    disruption = next((str(one["reason"]) for one in held), "")
    name, job = pod["metadata"]["name"], pod["metadata"]["ownerReferences"][0]["name"]
    return PodEnd(name, job, ended["exitCode"], ended.get("reason", ""), disruption)
