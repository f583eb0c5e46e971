"""What the API server fails to write of one object: told apart from one that is away, and told as an Event where no status can tell it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from autollm_operator.api.port import Api, ApiError, ForbiddenError, InvalidError, UnavailableError
from autollm_operator.api.resources import JOBS
from autollm_operator.reconcile.children import Parent
from autollm_operator.reconcile.events import News, tell

PATIENCE = timedelta(minutes=1)
"""For how long nothing is said of what may pass by itself."""

TOLD_AGAIN = timedelta(hours=1)
"""As long as an API server keeps Events."""


def is_of_one_object(api: Api, error: UnavailableError, namespace: str) -> bool:
    """Say whether the API server answers other requests: then a webhook for this object does not, or what it is to write is at fault."""
    if error.status < 500:
        return False  # it did not answer at all, or asks to come later
    try:
        api.get(JOBS, namespace, "autollm")
    except UnavailableError:
        return False
    except ApiError:
        return True  # most likely there is no such Job
    return True


def reason_of(error: ApiError) -> str:
    """Return the reason under which people are told of an error."""
    match error:
        case ForbiddenError():
            reason = "Forbidden"
        case InvalidError():
            reason = "Refused"
        case _:
            reason = error.reason
    return reason


@dataclass(frozen=True)
class Broken:
    """Since when every pass over an object has ended in an error, and when that was told."""

    since: datetime
    told: datetime | None = None


class Breakdowns:
    """Objects of which every pass ends in an error of the API server, by uid, such as those whose own status it does not take."""

    def __init__(self) -> None:
        self._broken: dict[str, Broken] = {}

    def failed(self, api: Api, parent: Parent, error: ApiError, now: datetime) -> None:
        """Tell of it, once it has lasted, and not of an API server that is away from everybody."""
        uid = parent.owner.uid
        broken = self._broken.setdefault(uid, Broken(now))
        if now - broken.since < PATIENCE or (broken.told is not None and now - broken.told < TOLD_AGAIN):
            return
        if isinstance(error, UnavailableError) and not is_of_one_object(api, error, parent.namespace):
            return
        tell(
            api,
            parent,
            News("Warning", reason_of(error), "Reconcile", f"It does not go on, although it is tried again and again: {error}"),
            now,
        )
        self._broken[uid] = replace(broken, told=now)

    def forget(self, uid: str) -> None:
        """Drop what is known of an object: a pass over it has come to its end, or it is gone."""
        self._broken.pop(uid, None)
