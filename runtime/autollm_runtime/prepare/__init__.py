"""Prepare: sources to canonical records, splits, chunks and their manifest; the base model; what the artifacts hold already."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autollm.contract.tasks import PrepareTask
    from autollm_runtime.worker.context import Context


def run_prepare(task: PrepareTask, context: Context) -> None:
    """Do a prepare task and report `Prepared`; see `task.run_prepare`."""
    from autollm_runtime.prepare.task import run_prepare as run  # imports PyTorch, which the rest of this package does without

    run(task, context)
