"""Merging: exact sums of base and deltas, in a live model for trials and from disk to disk for publishing."""

from autollm_runtime.merge.resident import ResidentMerge

__all__ = ["ResidentMerge"]
