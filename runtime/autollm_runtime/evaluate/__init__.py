"""Evaluation: the warm evaluator that scores candidate after candidate on the same items."""

from autollm_runtime.evaluate.run import run_evaluate

__all__ = ["run_evaluate"]
