"""Merging: exact sums of base and deltas, in a live model for trials and from disk to disk for publishing."""

from autollm_runtime.merge.resident import ResidentMerge
from autollm_runtime.merge.stream import Merged, stream_merge

__all__ = ["Merged", "ResidentMerge", "stream_merge"]
