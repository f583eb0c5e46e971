"""The port to the Kubernetes API: eight verbs over plain documents, and the errors that callers tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from autollm.errors import AutoLLMError, OutageError
from autollm_operator.api.resources import Resource

Document = dict[str, Any]
Propagation = Literal["Background", "Foreground"]

FIELD_MANAGER = "autollm-operator"
"""The owner of the fields that the operator writes."""


class ApiError(AutoLLMError):
    """The API server refused a request; `status` is its HTTP status, 0 where it did not answer."""

    reason = "ApiError"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotFoundError(ApiError):
    """There is no such object (404)."""

    reason = "NotFound"


class UnknownKindError(NotFoundError):
    """The API server has no objects of this kind at all, or not in this version (404): its CRD is not there."""


class AlreadyExistsError(ApiError):
    """An object of that name is there (409 on create)."""

    reason = "AlreadyExists"


class ConflictError(ApiError):
    """The object is another one than was read: its uid or resourceVersion differs (409)."""

    reason = "Conflict"


class InvalidError(ApiError):
    """The API server does not accept the document (400, 413, 422): trying again cannot help."""

    reason = "Invalid"


class ForbiddenError(ApiError):
    """The operator's role, a quota or an admission policy does not allow it (401, 403)."""

    reason = "Forbidden"


class UnavailableError(ApiError, OutageError):
    """The API server did not answer, or asked to come later (408, 429, 5xx, no connection); `retry_after` in seconds, if it said so."""

    reason = "ApiUnavailable"

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class Api(Protocol):
    """Objects by kind, namespace and name; every verb waits for the answer and raises one of the errors above."""

    def list(self, resource: Resource, namespace: str | None = None, *, labels: str = "") -> Iterator[Document]:
        """Yield all objects of a kind in a namespace, or in all of them, page by page; `labels` is a label selector."""
        ...

    def get(self, resource: Resource, namespace: str, name: str) -> Document:
        """Return an object; raises NotFoundError."""
        ...

    def create(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Create an object and return it as stored; raises AlreadyExistsError."""
        ...

    def ensure(self, resource: Resource, namespace: str, name: str) -> Document:
        """Return the object of this name, made with nothing but its name where there is none (server-side apply).

        A role can allow to make one name alone only in this way: of what `create` makes, the API server asks for the right without a name.
        """
        ...

    def apply_status(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Own exactly these fields of an object's status (server-side apply) and return the object.

        Raises NotFoundError, and ConflictError where the resourceVersion in its metadata is not the object's, or where another uid's
        object took the status. The API server compares no uid before it writes a status: only a resourceVersion keeps one out.
        """
        ...

    def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], *, subresource: str | None = None) -> Document:
        """Merge a patch into an object and return it; null removes a field.

        Raises NotFoundError, and ConflictError where the patch names another resourceVersion, or another uid, as `apply_status` does.
        """
        ...

    def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        propagation: Propagation = "Background",
    ) -> None:
        """Delete the object of this uid; one that is gone, or that another has replaced, is deleted already."""
        ...

    def evict(self, namespace: str, name: str, *, uid: str, grace_seconds: int) -> None:
        """Delete the pod of this uid as one whose place is taken away: its Job makes another, and counts no failure.

        One that is gone, or that another has replaced, is gone already. Raises UnavailableError while a PodDisruptionBudget keeps it.
        """
        ...
