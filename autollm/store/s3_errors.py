"""What S3 and the network answered, as the store's errors: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3.exceptions
from boto3.exceptions import Boto3Error
from botocore import exceptions as botocore

from autollm.errors import AutoLLMError, InputError
from autollm.store.port import AccessDeniedError, DiskFullError, NotFoundError, PreconditionError, StoreUnavailableError

NETWORK_ERRORS: tuple[type[Exception], ...] = (
    botocore.ConnectionError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    urllib3.exceptions.HTTPError,
)
"""A connection that was not made, or broke."""

_CREDENTIALS = (
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.CredentialRetrievalError,
    botocore.TokenRetrievalError,
    botocore.SSOError,
    botocore.NoAuthTokenError,
    botocore.InvalidConfigError,
)

_CHAIN = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; in a cluster, name a Secret in secretName"


@dataclass(frozen=True)
class Place:
    """What an error names: the object or prefix, its bucket, and the endpoint."""

    uri: str
    bucket: str
    endpoint: str


@contextmanager
def s3_errors(place: Place) -> Iterator[None]:
    """Raise the store's errors in place of boto3's, botocore's and urllib3's."""
    try:
        yield
    except Boto3Error as error:
        # boto3 wraps what its transfers met
        raise translate(getattr(error, "last_exception", None) or error.__cause__ or error.__context__ or error, place) from error
    except (botocore.BotoCoreError, botocore.ClientError, urllib3.exceptions.HTTPError, RecursionError) as error:
        # botocore asks a server that redirects it where the bucket is, and is redirected; where that ends it is its HTTP client's error too
        if isinstance(error, RecursionError) or isinstance(getattr(error, "kwargs", {}).get("error"), RecursionError):
            message = f"{place.uri}: {place.endpoint} redirects without end: give the endpoint that serves the bucket itself"
            raise InputError(message) from error
        raise translate(error, place) from error


def error_code(error: botocore.ClientError) -> str:
    """Return the code of an answer: a word such as NoSuchKey, or the HTTP status where the answer had no body."""
    details: Any = error.response.get("Error", {})
    return str(details.get("Code", ""))


def translate(error: BaseException, place: Place) -> AutoLLMError:
    """Return the error that says what the answer means."""
    if isinstance(error, AutoLLMError):
        return error
    cause = error.kwargs.get("error") if isinstance(error, botocore.HTTPClientError) else None
    if isinstance(cause, AutoLLMError):
        return cause  # of our own connections, which botocore wraps
    if isinstance(error, botocore.ClientError):
        return _from_answer(error, place)
    if isinstance(error, _CREDENTIALS):
        return AccessDeniedError(f"{place.uri}: no usable S3 credentials were found ({error}): {_CHAIN}")
    if isinstance(error, botocore.ParamValidationError):
        return InputError(f"{place.uri}: {place.bucket!r} cannot be the name of a bucket: use 3 to 63 lower-case letters, digits, - and .")
    if isinstance(error, botocore.SSLError):
        return StoreUnavailableError(
            f"{place.uri}: the certificate of {place.endpoint} was not accepted: set AWS_CA_BUNDLE (in a cluster, workers.caBundle "
            "in the chart's values), or mend the endpoint"
        )
    if isinstance(error, NETWORK_ERRORS):
        return StoreUnavailableError(
            f"{place.uri}: {place.endpoint} does not answer ({type(error).__name__}): check the endpoint and the network, then start again"
        )
    return InputError(f"{place.uri}: S3 cannot be used as configured: {error}")


def _from_answer(error: botocore.ClientError, place: Place) -> AutoLLMError:
    code = error_code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    uri, endpoint = place.uri, place.endpoint
    match code:
        case "NoSuchBucket":
            return NotFoundError(f"{uri}: there is no bucket {place.bucket!r} at {endpoint}: create it, or mend the URI")
        case "NoSuchKey" | "NotFound" | "404":
            return NotFoundError(f"there is no {uri} at {endpoint}: check the key and its spelling")
        case "InvalidAccessKeyId" | "XAdminUserNotFound":
            return AccessDeniedError(f"{uri}: {endpoint} does not know the access key: check AWS_ACCESS_KEY_ID or the profile")
        case "SignatureDoesNotMatch":
            return AccessDeniedError(f"{uri}: the secret does not belong to the access key: check AWS_SECRET_ACCESS_KEY or the profile")
        case "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired":
            return AccessDeniedError(f"{uri}: the credentials have expired or their session token is wrong: sign in again ({code})")
        case "RequestTimeTooSkewed":
            return AccessDeniedError(f"{uri}: this machine's clock differs too much from that of {endpoint}: set the clock")
        case "PreconditionFailed" | "412":
            return PreconditionError(f"{uri} exists already or has changed since it was read")
        case "PermanentRedirect" | "301" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException":
            return InputError(f"{uri}: the bucket {place.bucket!r} is in another region: set `region` to the bucket's ({code})")
        case "InvalidBucketName":
            return InputError(f"{uri}: {place.bucket!r} cannot be the name of a bucket: use 3 to 63 lower-case letters, digits, - and .")
        case "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "507":
            return DiskFullError(f"{uri}: {endpoint} has no space left for this bucket: free some, or raise its quota ({code})")
        case "NotImplemented" | "501":
            return InputError(f"{uri}: {endpoint} cannot do what is asked; AutoLLM needs conditional writes (If-None-Match, If-Match)")
    if status in (401, 403):
        return AccessDeniedError(
            f"{uri}: access was denied ({code}): the credentials need to list the bucket and to get, put and delete objects below the URI"
        )
    if status >= 500 or status == 429 or code in ("SlowDown", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict"):
        return StoreUnavailableError(f"{uri}: {endpoint} answers {code or status} after several tries: start again later")
    return InputError(f"{uri}: {endpoint} refused the request: {error}")
