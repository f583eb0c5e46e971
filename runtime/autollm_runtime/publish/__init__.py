"""Publishing: the winner as a revision that loads with `transformers` alone, and the pointer to the one in use."""

from autollm_runtime.publish.pin import run_pin
from autollm_runtime.publish.run import run_publish

__all__ = ["run_pin", "run_publish"]
