"""Jobs and pods as far as the operator reads them: a Job's body takes 42 kB of memory, this 0.2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class Owner:
    """The controller of an object, by uid."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class JobView:
    """A Job.

    Attributes:
        task: Of its label, the kind of task: prepare, train, evaluate, publish or pin.
        generation: Of its label, the generation of the spec it was made for; 0 where it has none.
        size: How many completions it is to have at the same time: the slots of evaluators.
        outcome: None until the Job controller says Complete or Failed for good.
        reason: Of that condition, or of a Job that is suspended.
        failed_indexes: Of an Indexed Job, the indexes that were given up.
        gpus: GPUs that each of its pods asks for.
        failure: The annotation in which the operator kept why it failed, since pods go with their nodes; empty where it has not.
        made_with: The digest of what was asked of its pods when it was made; empty where it has none.
    """

    namespace: str
    name: str
    uid: str
    version: int
    owner: Owner | None
    task: str
    generation: int
    size: int
    suspended: bool
    deleting: bool
    outcome: Literal["Complete", "Failed"] | None
    reason: str
    message: str
    started: datetime | None
    finished: datetime | None
    has_ttl: bool
    gpus: int
    failure: str = ""
    made_with: str = ""
    failed_indexes: frozenset[int] = frozenset()


@dataclass(frozen=True)
class PodView:
    """A pod of a Job.

    Attributes:
        index: Its completion index: the slot of an evaluator; 0 in other Jobs.
        created: When it was made, to wait for a node first.
        started: Since when its container runs; None while it does not.
        waiting: Why it does not run yet, as a sentence with the scheduler's or the kubelet's own words; empty where it does.
        exit_code: Of its container, once that has ended.
        ended_because: Kubernetes' reason, such as OOMKilled or Error.
        termination: What the worker left in its termination message.
        disrupted: Whether it was preempted, evicted or lost with its node.
        message: What Kubernetes said of its end, such as what the node that evicted it was low on.
        node: Where it was placed; empty where it was not.
        gone_by: Of one that is being deleted, when its grace period is over.
    """

    namespace: str
    name: str
    uid: str
    version: int
    owner: Owner | None
    index: int
    phase: str
    deleting: bool
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    waiting: str
    exit_code: int | None
    ended_because: str
    termination: str
    disrupted: bool
    message: str = ""
    node: str = ""
    gone_by: datetime | None = None
