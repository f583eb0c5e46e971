"""Deltas: what a training changed, in memory and in the artifacts, tied to the digest of its base."""

from autollm_runtime.delta.artifacts import find_delta, publish_delta, read_delta
from autollm_runtime.delta.importing import import_delta
from autollm_runtime.delta.values import Delta, LowRank

__all__ = ["Delta", "LowRank", "find_delta", "import_delta", "publish_delta", "read_delta"]
