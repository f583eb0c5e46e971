"""A store in a bucket: s3:// at Amazon or at any server that speaks its protocol with conditional writes."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from autollm.errors import InputError
from autollm.store.disk import disk_errors, replacing
from autollm.store.keys import check_key, check_prefix, is_key
from autollm.store.port import NotFoundError, PreconditionError, Stat, StoreUnavailableError
from autollm.store.s3_client import make_client
from autollm.store.s3_errors import Place, error_code, s3_errors
from autollm.store.s3_stream import S3Stream

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_PART = 16 << 20
_CONCURRENCY = 8
_BUFFER = 1 << 20
_CONFLICTS = 5
_WITHOUT_BODY = frozenset({"400", "403", "404"})


class S3Store:
    """Objects below `s3://bucket/prefix`; files larger than a part travel in parts of `part_size` bytes, several at once."""

    def __init__(
        self, bucket: str, prefix: str = "", *, endpoint: str | None = None, region: str | None = None, part_size: int = _PART
    ) -> None:
        self.uri = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self.endpoint, self.region = endpoint, region
        self._bucket = bucket
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._client = make_client(endpoint, region)
        self._endpoint = self._client.meta.endpoint_url
        self._transfer = TransferConfig(multipart_threshold=part_size, multipart_chunksize=part_size, max_concurrency=_CONCURRENCY)
        self._bucket_seen = False

    def read(self, key: str) -> bytes:
        """Return an object whole."""
        with self.open(key) as file:
            return file.read()

    def open(self, key: str) -> BinaryIO:
        """Open an object for streaming; it can seek, and a broken connection is taken up again."""
        get = functools.partial(self._client.get_object, Bucket=self._bucket, Key=self._key(key))
        return cast("BinaryIO", io.BufferedReader(S3Stream(get, self._place(key)), _BUFFER))

    def stat(self, key: str) -> Stat | None:
        """Return size and etag, or None where the bucket has no such object."""
        name, place = self._key(key), self._place(key)
        with s3_errors(place):
            try:
                return _stat(self._client.head_object(Bucket=self._bucket, Key=name))
            except ClientError as error:
                code = error_code(error)
                if code in _WITHOUT_BODY and not (code == "404" and self._bucket_seen):
                    # a list tells what HEAD cannot: a missing bucket, a wrong key, a lack of rights
                    self._client.list_objects_v2(Bucket=self._bucket, Prefix=name, MaxKeys=1)
                    self._bucket_seen = True
                if code == "404":
                    return None
                raise

    def write(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> Stat:
        """Write an object, conditionally if asked."""
        name, place = self._key(key), self._place(key)
        condition: dict[str, str] = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match is not None else {}
        with s3_errors(place):
            for _ in range(_CONFLICTS):
                try:
                    answer = self._client.put_object(Bucket=self._bucket, Key=name, Body=data, **cast("Any", condition))
                    return Stat(len(data), answer["ETag"])
                except ClientError as error:
                    code = error_code(error)
                    if code == "ConditionalRequestConflict":  # another writer was at work at that moment: ask once more
                        continue
                    if condition and code in ("PreconditionFailed", "412", "NoSuchKey"):
                        return self._lost(key, data, error, if_absent=if_absent)
                    raise
        raise StoreUnavailableError(f"{place.uri}: other writers were at work {_CONFLICTS} times: start again later")

    def upload(self, path: Path, key: str) -> Stat:
        """Write a file of any size; an upload that breaks off leaves no object."""
        name, place = self._key(key), self._place(key)
        with disk_errors(str(path)):
            size = path.stat().st_size
            with s3_errors(place):
                self._client.upload_file(str(path), self._bucket, name, Config=self._transfer)
        stored = self.stat(key)
        if stored is None or stored.size != size:
            raise StoreUnavailableError(f"{place.uri}: {size} bytes were sent, but the store has {stored}: start again")
        return stored

    def download(self, key: str, path: Path) -> None:
        """Copy an object into a file, several parts at once."""
        name, place = self._key(key), self._place(key)
        stored = self.stat(key)
        if stored is None:
            raise NotFoundError(f"there is no {place.uri} at {self._endpoint}: check the key and its spelling")
        with disk_errors(str(path)), replacing(path) as new:
            with s3_errors(place):
                self._client.download_fileobj(self._bucket, name, new.file, Config=self._transfer)
            new.file.flush()
            size = new.path.stat().st_size
            if size != stored.size:
                raise StoreUnavailableError(f"{place.uri}: {size} of {stored.size} bytes arrived: start again")

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with a prefix, in order; folder markers are passed over."""
        start = self._prefix + check_prefix(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
        with s3_errors(self._place(prefix)):
            for page in pages:
                for entry in page.get("Contents", []):
                    key = entry["Key"].removeprefix(self._prefix)
                    if is_key(key):
                        yield key

    def delete(self, key: str) -> None:
        """Remove an object."""
        with s3_errors(self._place(key)):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def local_path(self, key: str) -> Path | None:
        """Nothing of it lies on this machine."""
        check_prefix(key)
        return None

    def _lost(self, key: str, data: bytes, error: ClientError, *, if_absent: bool) -> Stat:
        """A conditional write that was sent twice may have lost against itself: then the object is ours."""
        if error.response["ResponseMetadata"].get("RetryAttempts", 0):
            stored = self.stat(key)
            if stored is not None and stored.size == len(data) and self.read(key) == data:
                return stored
        uri = f"{self.uri}/{key}"
        if if_absent:
            raise PreconditionError(f"{uri} exists already; it was left as it is") from error
        raise PreconditionError(f"{uri} has changed since it was read; read it again") from error

    def _key(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _place(self, key: str) -> Place:
        return Place(f"{self.uri}/{key}" if key else self.uri, self._bucket, self._endpoint)


def split_s3(uri: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`; raises InputError where there is no bucket."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"{uri!r} names no bucket: write s3://bucket/key")
    return bucket, key.removesuffix("/")


def _stat(answer: HeadObjectOutputTypeDef) -> Stat:
    return Stat(answer["ContentLength"], answer["ETag"])
