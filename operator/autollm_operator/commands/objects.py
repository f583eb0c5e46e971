"""The objects of a run as commands show them: read at once, no cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from pydantic import ValidationError

from autollm.contract.pod import MANAGED_BY, MANAGED_BY_LABEL, RUN_LABEL
from autollm.errors import InputError
from autollm.resources import AutoLLMRun, DeltaTraining, MergeTrial
from autollm_operator.api.port import Api, Document, ForbiddenError, NotFoundError, UnknownKindError
from autollm_operator.api.resources import JOBS, RUNS, TRAININGS, TRIALS, Resource
from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.parsed import controller
from autollm_operator.cache.views import JobView

T = TypeVar("T", AutoLLMRun, DeltaTraining, MergeTrial)


def read_object(api: Api, resource: Resource, namespace: str, name: str) -> Document:
    """Return an object; raises InputError, with what to do, where there is none, or where the cluster does not know who asks."""
    try:
        return api.get(resource, namespace, name)
    except UnknownKindError:
        raise InputError(
            f"this cluster does not know {resource.kind}s: install AutoLLM's CRDs in it, or name another cluster by --context",
            reason="NotFound",
        ) from None
    except ForbiddenError as error:
        if error.status == 401:
            raise InputError(f"{error}: sign in to the cluster again, as for kubectl") from error
        raise
    except NotFoundError:
        raise InputError(
            f"there is no {resource.kind} {name} in the namespace {namespace}: `kubectl get {resource.plural} -A` lists all, "
            "and -n names another namespace",
            reason="NotFound",
        ) from None


def read_run(api: Api, namespace: str, name: str) -> tuple[AutoLLMRun, str]:
    """Return a run and its uid; raises InputError where there is none."""
    document = read_object(api, RUNS, namespace, name)
    return parse(AutoLLMRun, document), str(document["metadata"]["uid"])


def read_trainings(api: Api, namespace: str, run: str, uid: str) -> tuple[DeltaTraining, ...]:
    """Return the trainings that a run controls."""
    return tuple(parse(DeltaTraining, document) for document in children(api, TRAININGS, namespace, run, uid))


def read_trials(api: Api, namespace: str, run: str, uid: str) -> tuple[MergeTrial, ...]:
    """Return the trials that a run controls."""
    return tuple(parse(MergeTrial, document) for document in children(api, TRIALS, namespace, run, uid))


def children(api: Api, resource: Resource, namespace: str, run: str, uid: str) -> Iterator[Document]:
    """Yield the objects of a kind that a run controls: labels only narrow the list, the owner's uid decides."""
    for document in api.list(resource, namespace, labels=f"{RUN_LABEL}={run}"):
        owner = controller(document["metadata"])
        if owner is not None and owner.uid == uid:
            yield document


def jobs_of(api: Api, namespace: str, owners: frozenset[str]) -> list[JobView]:
    """Return the Jobs that one of these objects, given by their uids, controls; the oldest first."""
    listed = (job_view(document) for document in api.list(JOBS, namespace, labels=f"{MANAGED_BY_LABEL}={MANAGED_BY}"))
    found = [job for job in listed if job.owner is not None and job.owner.uid in owners]
    return sorted(found, key=lambda job: (job.started is None, job.started and job.started.timestamp(), job.name))


def parse(kind: type[T], document: Document) -> T:
    """Return a document as its type; raises InputError for one of another version."""
    try:
        return kind.parse(document)
    except ValidationError as error:
        raise InputError(
            f"the {kind.__name__} {document['metadata']['name']} cannot be read by this version of autollm: "
            f"{error.error_count()} fields differ; install the version of the cluster's operator"
        ) from error
