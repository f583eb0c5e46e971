"""What the pods of a run may look like: an allow-list of fields, never a pod template. On one machine it is not used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from autollm.resources import patterns
from autollm.resources.environment import EnvironmentVariable, ObjectName, Volume
from autollm.resources.model import Model, Rule
from autollm.resources.placement import NodeRequirement, NodeSelector, Toleration
from autollm.resources.quantities import Resources
from autollm.resources.values import Duration

_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
_ATOMIC = {"x-kubernetes-list-type": "atomic"}
_ENOUGH_TIME = Rule("duration(self.deadline) >= duration('60s')", "a deadline must be at least 60s", "deadline")


class PullSecret(Model):
    """A Secret with which images are pulled."""

    name: ObjectName = Field(description="The Secret's name.")


class TaskWorkers(Model):
    """What the pods of one kind of task may use, and how long and how often they are tried."""

    rules: ClassVar = (_ENOUGH_TIME,)
    resources: Resources = Field(default_factory=Resources, description="What each pod asks for and may use.")
    deadline: Duration = Field("24h", description="After this time, retries included, the task has failed.")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        3,
        description="How often a pod that failed is replaced. Bad input is never tried again; eviction and preemption do not count, nor, "
        "once the data is prepared, servers that are away.",
    )


class TrainWorkers(TaskWorkers):
    """What trainings may use; several GPUs in `resources.limits` or several nodes share one training."""

    deadline: Duration = Field("168h", description="After this time, retries included, the training has failed.")
    nodes: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Pods that share one training, each with the resources above.")


class EvaluateWorkers(TaskWorkers):
    """What evaluators may use; there are `search.parallelism` of them."""

    deadline: Duration = Field("168h", description="After this time, retries included, the evaluators have failed.")


class Workers(Model):
    """What the pods may look like; an image or ServiceAccount that is absent is the operator's. On one machine it is not used."""

    rules: ClassVar = (
        Rule(
            "!has(self.priorityClassName) || !self.priorityClassName.startsWith('system-')",
            "priority classes that begin with system- are the cluster's own: choose another one",
            "priorityClassName",
        ),
        Rule(
            "!has(self.volumes) || self.volumes.all(v, self.volumes.exists_one(o, o.mountPath == v.mountPath))",
            "two volumes cannot be mounted at one path: give each a mountPath of its own",
            "volumes",
        ),
        Rule(
            "!has(self.queueName) || "
            "(self.prepare.retries >= 1 && self.train.retries >= 1 && self.evaluate.retries >= 1 && self.publish.retries >= 1)",
            "a Job that Kueue starts and stops must survive a pod that ends: raise retries of prepare, train, evaluate and publish "
            "to at least 1, or remove queueName",
            "queueName",
        ),
    )
    image: Annotated[str, Field(pattern=patterns.IMAGE, min_length=1, max_length=512)] | None = Field(
        None, description="The runtime's image, best by digest; the operator's settings say which are allowed."
    )
    image_pull_secrets: Annotated[list[PullSecret], Field(max_length=8, json_schema_extra=_BY_NAME)] | None = Field(
        None, description="Secrets with which the image is pulled."
    )
    service_account_name: ObjectName | None = Field(
        None, description="Whom pods are to the API server; the operator's settings say which are allowed."
    )
    queue_name: Annotated[str, Field(pattern=patterns.OBJECT_NAME, min_length=1, max_length=63)] | None = Field(
        None, description="Kueue's LocalQueue in which the Jobs wait for their turn; `retries` of every task must then be at least 1."
    )
    priority_class_name: ObjectName | None = Field(None, description="The PriorityClass of the pods.")
    runtime_class_name: ObjectName | None = Field(None, description="The RuntimeClass of the pods.")
    node_selector: NodeSelector | None = Field(None, description="Labels that a node must have.")
    node_affinity: Annotated[list[NodeRequirement], Field(max_length=16, json_schema_extra=_ATOMIC)] | None = Field(
        None, description="What else must be true of a node's labels: all of these."
    )
    tolerations: Annotated[list[Toleration], Field(max_length=16, json_schema_extra=_ATOMIC)] | None = Field(
        None, description="Taints that do not keep the pods away."
    )
    env: Annotated[list[EnvironmentVariable], Field(max_length=64, json_schema_extra=_BY_NAME)] | None = Field(
        None, description="Environment variables of every pod."
    )
    volumes: Annotated[list[Volume], Field(max_length=16, json_schema_extra=_BY_NAME)] | None = Field(
        None, description="Volumes that every pod sees."
    )
    prepare: TaskWorkers = Field(default_factory=TaskWorkers, description="Pods that read and split the data.")
    train: TrainWorkers = Field(default_factory=TrainWorkers, description="Pods that train deltas, one training each.")
    evaluate: EvaluateWorkers = Field(
        default_factory=EvaluateWorkers, description="Pods that score candidates, `search.parallelism` of them."
    )
    publish: TaskWorkers = Field(default_factory=TaskWorkers, description="Pods that write and check the merged model.")
    ttl_after_finished: Duration = Field("1h", description="How long the Job of a task stays once its report is safe.")

    @property
    def compute_on_gpus(self) -> bool:
        """Whether deltas are trained or candidates scored on GPUs, wherever the data is prepared."""
        return self.train.resources.has_gpu or self.evaluate.resources.has_gpu

    @property
    def by_kind(self) -> Mapping[str, TaskWorkers]:
        """What each kind of task may use, by the name of its section."""
        return {"prepare": self.prepare, "train": self.train, "evaluate": self.evaluate, "publish": self.publish}
