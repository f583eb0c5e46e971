"""The kinds of objects that the operator reads or writes, as their URLs spell them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resource:
    """A kind by group, version and plural; the core group is the empty text."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """The group and version as documents spell them."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of one object, or of all in a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(["namespaces", namespace] if namespace else []), self.plural, *([name] if name else [])]
        return "/".join([*parts, *([subresource] if subresource else [])])


RUNS = Resource("autollm.dev", "v1alpha1", "autollmruns", "AutoLLMRun")
TRAININGS = Resource("autollm.dev", "v1alpha1", "deltatrainings", "DeltaTraining")
TRIALS = Resource("autollm.dev", "v1alpha1", "mergetrials", "MergeTrial")
JOBS = Resource("batch", "v1", "jobs", "Job")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

WATCHED = (RUNS, TRAININGS, TRIALS, JOBS, PODS)
"""The kinds of which the operator knows every object."""
