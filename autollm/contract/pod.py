"""What a Job's pod is given beside its command line: where its task document is, and which environment variables tell it the rest."""

from __future__ import annotations

import base64
import zlib

CONTAINER = "worker"
"""The name of the one container of every pod."""

TASK_ANNOTATION = "autollm.dev/task"
"""The pod template's annotation that carries the packed task document; a downward API volume makes a file of it."""

FAILURE_ANNOTATION = "autollm.dev/failure"
"""A failed Job's annotation with the reason and message of its failure, kept by the operator: pods go with their nodes."""

WORKERS_ANNOTATION = "autollm.dev/workers"
"""A Job's annotation with a digest of what was asked of its pods, by which the operator sees that it was made with other workers."""

TASK_FOLDER = "/autollm/task"
TASK_FILE = f"{TASK_FOLDER}/task"
SCRATCH_FOLDER = "/scratch"
TERMINATION_FILE = "/dev/termination-log"

NAMESPACE = "AUTOLLM_NAMESPACE"
"""The environment variable with the pod's namespace, in which alone it reads and reports."""

OWNER_UID = "AUTOLLM_OWNER_UID"
"""The uid of the object that the pod works for: an object of the same name that was made later gets none of its reports."""

GPUS = "AUTOLLM_GPUS"
"""How many GPUs a pod must be able to compute on; absent where it has none, and for kinds of tasks that use none."""

COMPLETION_INDEX = "JOB_COMPLETION_INDEX"
"""Set by Kubernetes in the pods of an Indexed Job: the slot of an evaluator, the node's rank in a training on several nodes."""

RUN_LABEL = "autollm.dev/run"
TASK_LABEL = "autollm.dev/task"
"""prepare, train, evaluate, publish or pin."""

GENERATION_LABEL = "autollm.dev/generation"
"""The generation of the spec for which a child was made, raised by each round of `refresh`; a failure of an earlier one is tried again."""

MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "autollm"

LARGEST_TASK = 240_000
"""Bytes of a packed task: Kubernetes refuses annotations of 256 KiB in all."""


def pack_task(document: bytes) -> str:
    """Return a task document as the annotation carries it: deflated, so that 1,500 deltas fit, as base64."""
    return base64.b64encode(zlib.compress(document, 9)).decode()


def unpack_task(packed: str, *, largest: int = 64 << 20) -> bytes:
    """Return the document of a packed task; raises ValueError for what is none, or would grow beyond `largest` bytes."""
    decompressor = zlib.decompressobj()
    try:
        document = decompressor.decompress(base64.b64decode(packed, validate=True), largest)
    except zlib.error as error:
        raise ValueError(f"the task is not packed as it should be: {error}") from error
    if decompressor.unconsumed_tail or not decompressor.eof:
        raise ValueError(f"the task is cut short, or larger than {largest} bytes")
    return document
