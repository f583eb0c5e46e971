"""From what the API server, or the network before it, said to one error of the port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autollm.contract.redaction import redacted
from autollm.contract.wording import plain
from autollm_operator.api.port import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnknownKindError,
)

LONGEST_MESSAGE = 1000

_INVALID = frozenset({400, 405, 406, 413, 415, 422})
_NOT_IN_SCHEMA = "failed to create typed patch object"  # what the API server calls its own error: the CRD is of another version

_UNAVAILABLE = frozenset({408, 429})


class ExpiredError(ApiError):
    """The rest of a paged list is not kept any more (410); `token` continues it from what is there now."""

    reason = "Expired"

    def __init__(self, message: str, *, token: str) -> None:
        super().__init__(message, status=410)
        self.token = token


def refusal(asked: str, status: int, reason: str, headers: Mapping[str, str], body: bytes) -> ApiError:
    """Return the error for an answer that is not a success.

    Args:
        asked: What was asked, such as "create jobs team-a/x".
        status: The HTTP status.
        reason: Its phrase, said where the body is not Kubernetes' own: a proxy's page stays unread.
        headers: Of the answer, for Retry-After.
        body: Of the answer, a Status document as a rule.
    """
    answer = _status_document(body)
    said = _printable(answer.get("message") or reason or "no reason given")
    message = f"the API server refused to {asked}: {said} ({status})"
    if status == 404:
        # Of an object that is not there its name is said; a path that nobody serves has none.
        return (NotFoundError if (answer.get("details") or {}).get("name") else UnknownKindError)(message, status=status)
    if status == 409:
        return (AlreadyExistsError if answer.get("reason") == "AlreadyExists" else ConflictError)(message, status=status)
    if any(cause.get("field") == "metadata.uid" for cause in (answer.get("details") or {}).get("causes") or ()):
        return ConflictError(message, status=status)  # of the whole object the API server does compare the uid, and calls it immutable
    if status == 410:
        return ExpiredError(message, token=str(answer.get("metadata", {}).get("continue") or ""))
    if status in (401, 403):
        return ForbiddenError(message, status=status)
    if status in _INVALID or (status == 500 and _NOT_IN_SCHEMA in message):
        return InvalidError(message, status=status)
    if status in _UNAVAILABLE or status >= 500:
        return UnavailableError(message, status=status, retry_after=_retry_after(headers, answer))
    return ApiError(message, status=status)


def no_answer(asked: str, error: Exception) -> UnavailableError:
    """Return the error for a connection that was not made, broke, or stayed silent for too long."""
    return UnavailableError(f"the API server did not answer when asked to {asked}: {_printable(str(error) or type(error).__name__)}")


def _status_document(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _retry_after(headers: Mapping[str, str], answer: Mapping[str, Any]) -> float | None:
    said = headers.get("Retry-After") or (answer.get("details") or {}).get("retryAfterSeconds")
    try:
        return max(0.0, float(said)) if said is not None else None
    except (TypeError, ValueError):
        return None  # a date, which the API server never sends


def _printable(text: str) -> str:
    return plain(redacted(text), LONGEST_MESSAGE)  # a webhook's error repeats its URL
