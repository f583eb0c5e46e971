"""One training on several GPUs of a pod, or on several pods."""

from __future__ import annotations

from autollm.contract.digests import digest_bytes, short
from autollm.contract.pod import COMPLETION_INDEX

PORT = 29500
"""Where the processes of several nodes find each other."""

LAUNCHER = ("python", "-m", "autollm_runtime.worker.torchrun")
"""torchrun, which ends with the exit code of the worker that ended first: Kubernetes decides by it whether to try again."""


def launched(command: list[str], *, job: str, gpus: int, nodes: int, deadline: int) -> list[str]:
    """Return the command that runs a worker once for each GPU of each node; one process alone needs no launcher.

    `deadline` is how long the Job may take, in seconds: for so long do the pods that run wait for one that has no node or no image yet.
    """
    if nodes > 1:
        # The hostname of a pod of an Indexed Job is the Job's name and its index; the Service makes it a name that can be looked up.
        rendezvous = [f"--master-addr={job}-0.{service_name(job)}", f"--master-port={PORT}", f"--rdzv-conf=timeout={deadline}"]
        place = [f"--nnodes={nodes}", f"--node-rank=$({COMPLETION_INDEX})", *rendezvous]
        return [*LAUNCHER, *place, f"--nproc-per-node={max(1, gpus)}", "--", *command]
    if gpus > 1:
        return [*LAUNCHER, "--standalone", f"--nproc-per-node={gpus}", "--", *command]
    return command


def service_name(job: str) -> str:
    """Return the name of the headless Service of a Job on several nodes; it begins with a letter and has room for any Job's name."""
    return f"nodes-{short(digest_bytes(job.encode()), 10)}"
