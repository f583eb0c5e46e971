"""An S3 object as a seekable stream that goes on where a broken connection left it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from autollm.store.port import StoreUnavailableError
from autollm.store.s3_errors import NETWORK_ERRORS, Place, error_code, s3_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

_TRIES = 4


class S3Stream(io.RawIOBase):
    """The bytes of one version of an object, requested lazily from the present position to the end.

    `get` is `client.get_object` with bucket and key bound. Raises StoreUnavailableError where the object is replaced meanwhile
    and a new request becomes necessary.
    """

    def __init__(self, get: Callable[..., GetObjectOutputTypeDef], place: Place) -> None:
        self._get = get
        self._place = place
        self._position = 0
        self._body: Any = None
        with s3_errors(place):
            answer = get()
        self._body = answer["Body"]
        self._size = answer["ContentLength"]
        self._etag = answer["ETag"]

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can seek."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; the next read asks for the rest from there."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        target = start + offset
        if target < 0:
            raise ValueError(f"cannot seek to {target}, before the start of {self._place.uri}")
        if target != self._position:
            self._drop()
            self._position = target
        return target

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer and return the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._position)
        if wanted <= 0:
            return 0
        piece = self._read(wanted)
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        """Give the connection back."""
        self._drop()
        super().close()

    def _read(self, wanted: int) -> bytes:
        with s3_errors(self._place):
            for remaining in reversed(range(_TRIES)):
                try:
                    if self._body is None:
                        self._body = self._request()
                    piece: bytes = self._body.read(wanted)
                    if piece:
                        return piece
                except NETWORK_ERRORS:
                    if not remaining:
                        raise
                self._drop()
        raise StoreUnavailableError(f"{self._place.uri}: the connection ended {_TRIES} times before the object did: start again later")

    def _request(self) -> Any:
        try:
            return self._get(Range=f"bytes={self._position}-", IfMatch=self._etag)["Body"]
        except ClientError as error:
            if error_code(error) in ("PreconditionFailed", "412", "NoSuchKey"):
                raise StoreUnavailableError(f"{self._place.uri} was replaced while it was read: start again") from error
            raise

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
