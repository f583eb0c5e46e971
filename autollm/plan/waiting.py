"""What stands in the way of tasks that do not run yet, told once however many wait for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autollm.contract.wording import plain

LONGEST_REASON = 500
MOST_REASONS = 3


@dataclass(frozen=True)
class Wait:
    """Why one task does not run yet; nothing where it runs or the reason is not known."""

    task: str
    reason: str

    @property
    def sentence(self) -> str:
        """The reason, fit for a status."""
        return plain(self.reason, LONGEST_REASON)


def with_waits(message: str, waits: Iterable[Wait]) -> str:
    """Return a message with what tasks wait for after it: a few different reasons, each with the number of tasks that it holds up."""
    alike: dict[str, list[Wait]] = {}
    for wait in waits:
        if wait.reason:
            # Sentences that name their own task, as of a queue, are the same sentence.
            alike.setdefault(wait.reason.replace(wait.task, ""), []).append(wait)
    groups = list(alike.values())
    told = [f"{_number(len(group))}: {group[0].sentence}" for group in groups[:MOST_REASONS]]
    if len(groups) > MOST_REASONS:
        told.append(f"{sum(map(len, groups[MOST_REASONS:]))} more tasks wait for other reasons")
    return " ".join([message, *(sentence.rstrip(".") + "." for sentence in told)])


def _number(tasks: int) -> str:
    return "Waiting" if tasks == 1 else f"Waiting ({tasks} tasks)"
