"""Trying again in a cluster: what failed is the record of its failure, and once it is gone the operator has it done anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from autollm.plan.landscape import NON_FINITE, SUPERSEDED
from autollm.resources import MergeTrial
from autollm_operator.api.port import Api, Document
from autollm_operator.api.resources import JOBS, RUNS, TRAININGS, TRIALS
from autollm_operator.cache.parsed import LOOK_AGAIN_ANNOTATION
from autollm_operator.commands.objects import children, jobs_of, parse, read_object


def forget_failures(api: Api, namespace: str, run: str) -> Iterator[str]:
    """Delete the Jobs and trials of a run that failed, and the Jobs that ended well without a report, and yield their names.

    A trial of a candidate that gives numbers which are none stays: it would again.
    """
    owner = read_object(api, RUNS, namespace, run)
    uid = str(owner["metadata"]["uid"])
    # The trials first: once the Job of failed evaluators is gone, new ones ask for trials.
    for document in children(api, TRIALS, namespace, run, uid):
        trial = parse(MergeTrial, document)
        failure = trial.status.failure if trial.status else None
        if failure is not None and failure.reason not in (SUPERSEDED, NON_FINITE):
            api.delete(TRIALS, namespace, trial.metadata.name, uid=document["metadata"]["uid"])
            yield f"mt/{trial.metadata.name} ({failure.reason})"
    owners = {str(document["metadata"]["uid"]): document for document in (owner, *children(api, TRAININGS, namespace, run, uid))}
    for job in jobs_of(api, namespace, frozenset(owners)):
        # Which of them it is does not matter: those whose reports are there are not needed any more.
        unreported = job.outcome == "Complete" and job.owner is not None and _lacks_report(owners[job.owner.uid])
        if job.outcome == "Failed" or unreported:
            api.delete(JOBS, namespace, job.name, uid=job.uid)
            yield f"job/{job.name} ({'NoReport' if unreported else job.reason})"


def _lacks_report(owner: Document) -> bool:
    conditions = owner.get("status", {}).get("conditions", [])
    return any(condition["reason"] == "NoReport" for condition in conditions)


def look_again(api: Api, namespace: str, run: str, now: datetime) -> Iterator[str]:
    """Ask for everything of a run to be looked for in its sources and artifacts again; delete its trainings and yield their names.

    What is there is not made again. Who may not ask deletes nothing; raises ForbiddenError.
    """
    uid = str(read_object(api, RUNS, namespace, run)["metadata"]["uid"])
    # On the run itself, not in its status: that is not for people to write. And first: a training that is missing then waits for the look.
    api.patch(RUNS, namespace, run, {"metadata": {"uid": uid, "annotations": {LOOK_AGAIN_ANNOTATION: now.isoformat()}}})
    for document in children(api, TRAININGS, namespace, run, uid):
        name = document["metadata"]["name"]
        api.delete(TRAININGS, namespace, name, uid=document["metadata"]["uid"], propagation="Foreground")
        yield f"dt/{name}"
