"""Evaluation: the warm evaluator that scores candidate after candidate on the same items; `run.run_evaluate` is the task."""
