"""The three kinds as pydantic types: the only source of the CRDs, of defaults and of validation.

The types are imported when they are first asked for: `autollm validate` does without them, and so without pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autollm.resources.delta_training import DeltaTraining, DeltaTrainingSpec, DeltaTrainingStatus
    from autollm.resources.merge_trial import MergeTrial, MergeTrialSpec, MergeTrialStatus
    from autollm.resources.run import AutoLLMRun, RunSpec
    from autollm.resources.run_status import RunStatus

__all__ = [
    "AutoLLMRun",
    "DeltaTraining",
    "DeltaTrainingSpec",
    "DeltaTrainingStatus",
    "MergeTrial",
    "MergeTrialSpec",
    "MergeTrialStatus",
    "RunSpec",
    "RunStatus",
]

_MODULES = {
    "AutoLLMRun": "run",
    "RunSpec": "run",
    "RunStatus": "run_status",
    "DeltaTraining": "delta_training",
    "DeltaTrainingSpec": "delta_training",
    "DeltaTrainingStatus": "delta_training",
    "MergeTrial": "merge_trial",
    "MergeTrialSpec": "merge_trial",
    "MergeTrialStatus": "merge_trial",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
