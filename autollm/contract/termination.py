"""The termination file: what a worker leaves for whoever started it, and what of it is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import ValidationError

from autollm.resources.metadata import Failure

TERMINATION_BYTES = 4096
"""What Kubernetes keeps of a container's termination message."""

REASON, MESSAGE, TRIAL = "reason", "message", "trial"


@dataclass(frozen=True)
class LastWords:
    """What a worker left.

    Attributes:
        failure: Why it ended; None where it was killed before it could say so.
        trial: The name of the trial that it was scoring, also where it was killed; empty where it was scoring none.
    """

    failure: Failure | None = None
    trial: str = ""


def read_last_words(text: str | bytes) -> LastWords:
    """Return what a worker left; anything may be written there, and nothing but a failure and a name is believed."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return LastWords()
    if not isinstance(document, dict):
        return LastWords()
    trial = document.pop(TRIAL, "")
    try:
        failure = Failure.model_validate(document)
    except ValidationError:
        failure = None
    return LastWords(failure, trial if isinstance(trial, str) else "")
