"""The three kinds as pydantic types: the only source of the CRDs, of defaults and of validation."""

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
