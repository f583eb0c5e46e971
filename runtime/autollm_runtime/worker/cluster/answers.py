"""What the API server answered, as errors that callers tell apart: gone, in conflict, refused, or worth asking again."""

from __future__ import annotations

import json
import re
from typing import Any

from autollm.contract.wording import plain
from autollm.errors import AutoLLMError, InputError, OutageError

_LONGEST = 1024
_LONGEST_RETRY_AFTER = 60.0
_UNKNOWN_FIELD = re.compile(r"(?:failed to create typed patch object \(.*?\)|strict decoding error): (.+)", re.DOTALL)
"""How API servers say it of a field that is applied, with status 500, and of one that is patched, with 422 after the whole object."""

_LATER = frozenset({401, 408, 429})
"""Besides 5xx. 401 too: a token is renewed in its file every hour, and one that has just run out is replaced within a minute."""


class ObjectGoneError(AutoLLMError):
    """The object is not there any more (404)."""

    reason = "Gone"


class ConflictError(AutoLLMError):
    """The object is another one, or another version, than the request named (409)."""

    reason = "Conflict"


class ExpiredError(AutoLLMError):
    """The version from which to watch is too old (410)."""

    reason = "Expired"


class RefusedError(InputError):
    """The API server does not accept the request, however often it is made (400, 413, 415, 422)."""

    reason = "Refused"


class OldCRDsError(RefusedError):
    """The CRDs of the cluster lack a field that this worker writes: they are of an earlier version."""

    reason = "OldCRDs"


class ForbiddenError(InputError):
    """The worker's ServiceAccount lacks a right (403)."""

    reason = "Forbidden"


class ApiUnavailableError(OutageError):
    """The API server did not answer, or not now (401, 408, 429, 5xx); `retry_after` in seconds, where it said so."""

    reason = "ApiUnavailable"

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def error_of(status: int, body: bytes, what: str, *, retry_after: str | None = None) -> AutoLLMError:
    """Return the error for an answer other than 2xx to `what`, a request in words such as `patch mergetrials/t1`."""
    document = _status_document(body)
    message = str(document.get("message") or f"HTTP {status}")
    said = plain(message, _LONGEST)
    if (unknown := _UNKNOWN_FIELD.search(message)) is not None:
        return OldCRDsError(
            f"{what}: the cluster's CRDs are older than this worker: {plain(unknown[1], _LONGEST)}; upgrade the CRDs of the chart, or use "
            "the runtime's image of their version"
        )
    match status:
        case 404:
            return ObjectGoneError(f"{what}: {said}")
        case 409:
            return ConflictError(f"{what}: {said}")
        case 410:
            return ExpiredError(f"{what}: {said}")
        case 403:
            return ForbiddenError(
                f"{what} is not allowed: {said}; bind the chart's Role for workers, whose name ends in `worker`, to the worker's "
                "ServiceAccount in this namespace (the chart does so for the namespaces it is given)"
            )
        case _ if status in _LATER or status >= 500:
            return ApiUnavailableError(f"{what}: the API server answers {status}: {said}", retry_after=_seconds(retry_after, document))
        case _:
            return RefusedError(f"{what}: the API server does not accept it ({status}): {said}")


def _status_document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _seconds(header: str | None, document: dict[str, Any]) -> float | None:
    details = document.get("details")
    told = header if header is not None else details.get("retryAfterSeconds") if isinstance(details, dict) else None
    try:
        return None if told is None else min(max(float(told), 0.0), _LONGEST_RETRY_AFTER)
    except (TypeError, ValueError):
        return None  # a date, which API servers do not send
