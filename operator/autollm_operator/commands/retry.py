"""Trying again in a cluster: what failed is the record of its failure, and once it is gone the operator has it done anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autollm.plan.landscape import NON_FINITE, SUPERSEDED
from autollm.resources import MergeTrial
from autollm_operator.api.port import Api, NotFoundError
from autollm_operator.api.resources import JOBS, RUNS, TRAININGS, TRIALS
from autollm_operator.commands.objects import children, jobs_of, parse, read_object


def retry_run(api: Api, namespace: str, run: str, *, look_again: bool) -> Sequence[str]:
    """Delete the failed Jobs and trials of a run and return their names.

    A trial of a candidate that gives numbers which are none stays: it would again. With `look_again`, what prepare found and all
    trainings are forgotten too, so that everything is looked for in the artifacts again; what is there is not made again.
    """
    uid = str(read_object(api, RUNS, namespace, run)["metadata"]["uid"])
    return [*(_look_again(api, namespace, run, uid) if look_again else ()), *_failed(api, namespace, run, uid)]


def _failed(api: Api, namespace: str, run: str, uid: str) -> Iterator[str]:
    # The trials first: once the Job of failed evaluators is gone, new ones ask for trials.
    for document in children(api, TRIALS, namespace, run, uid):
        trial = parse(MergeTrial, document)
        failure = trial.status.failure if trial.status else None
        if failure is not None and failure != SUPERSEDED and failure.reason != NON_FINITE:
            api.delete(TRIALS, namespace, trial.metadata.name, uid=document["metadata"]["uid"])
            yield f"mt/{trial.metadata.name} ({failure.reason})"
    trainings = {str(document["metadata"]["uid"]) for document in children(api, TRAININGS, namespace, run, uid)}
    for job in jobs_of(api, namespace, frozenset({uid, *trainings})):
        if job.outcome == "Failed":
            api.delete(JOBS, namespace, job.name, uid=job.uid)
            yield f"job/{job.name} ({job.reason})"


def _look_again(api: Api, namespace: str, run: str, uid: str) -> Iterator[str]:
    for document in children(api, TRAININGS, namespace, run, uid):
        name = document["metadata"]["name"]
        api.delete(TRAININGS, namespace, name, uid=document["metadata"]["uid"], propagation="Foreground")
        yield f"dt/{name}"
    for job in jobs_of(api, namespace, frozenset({uid})):
        if job.task == "prepare":  # it has reported once, and would not run again
            api.delete(JOBS, namespace, job.name, uid=job.uid)
            yield f"job/{job.name}"
    try:
        api.patch(RUNS, namespace, run, {"metadata": {"uid": uid}, "status": {"prepared": None}}, subresource="status")
    except NotFoundError:
        return
    yield "what was prepared"
