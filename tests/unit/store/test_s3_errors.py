"""What an S3 server may answer, and what the user is told."""

from __future__ import annotations

import pytest
from botocore import exceptions as botocore

from autollm.errors import InputError
from autollm.store.port import AccessDeniedError, DiskFullError, NotFoundError, PreconditionError, StoreUnavailableError
from autollm.store.s3_errors import Place, s3_errors

PLACE = Place("s3://bucket/key", "bucket", "https://s3.example.org")


@pytest.mark.parametrize(
    ("code", "status", "kind", "remedy"),
    [
        ("NoSuchBucket", 404, NotFoundError, "create it, or mend the URI"),
        ("NoSuchKey", 404, NotFoundError, "check the key"),
        ("InvalidAccessKeyId", 403, AccessDeniedError, "check AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", 403, AccessDeniedError, "check AWS_SECRET_ACCESS_KEY"),
        ("ExpiredToken", 400, AccessDeniedError, "sign in again"),
        ("RequestTimeTooSkewed", 403, AccessDeniedError, "set the clock"),
        ("AccessDenied", 403, AccessDeniedError, "need to list the bucket and to get, put and delete"),
        ("403", 403, AccessDeniedError, "need to list the bucket"),
        ("PreconditionFailed", 412, PreconditionError, "has changed since"),
        ("PermanentRedirect", 301, InputError, "set `region`"),
        ("AuthorizationHeaderMalformed", 400, InputError, "set `region`"),
        ("QuotaExceeded", 403, DiskFullError, "raise its quota"),
        ("507", 507, DiskFullError, "free some"),
        ("NotImplemented", 501, InputError, "needs conditional writes"),
        ("SlowDown", 503, StoreUnavailableError, "start again later"),
        ("InternalError", 500, StoreUnavailableError, "start again later"),
        ("MalformedXML", 400, InputError, "refused the request"),
    ],
)
def test_every_answer_names_the_place_and_the_remedy(code: str, status: int, kind: type[Exception], remedy: str) -> None:
    answer = {"Error": {"Code": code, "Message": "…"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(kind, match=remedy) as caught, s3_errors(PLACE):
        raise botocore.ClientError(answer, "GetObject")  # type: ignore[arg-type]  # the stub knows answers of one form only
    assert "s3://bucket/key" in str(caught.value)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (botocore.NoCredentialsError(), AccessDeniedError, "set AWS_ACCESS_KEY_ID"),
        (botocore.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), AccessDeniedError, "AWS_SECRET_ACCESS_KEY"),
        (botocore.UnauthorizedSSOTokenError(), AccessDeniedError, "AWS_PROFILE"),
        (botocore.EndpointConnectionError(endpoint_url="https://s3.example.org"), StoreUnavailableError, "check the endpoint"),
        (botocore.ConnectTimeoutError(endpoint_url="https://s3.example.org"), StoreUnavailableError, "check the endpoint"),
        (botocore.ReadTimeoutError(endpoint_url="https://s3.example.org"), StoreUnavailableError, "check the endpoint"),
        (botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2), StoreUnavailableError, "check the endpoint"),
        (botocore.SSLError(endpoint_url="https://s3.example.org", error=OSError("…")), StoreUnavailableError, "workers.caBundle"),
    ],
)
def test_what_comes_before_an_answer(error: Exception, kind: type[Exception], remedy: str) -> None:
    with pytest.raises(kind, match=remedy) as caught, s3_errors(PLACE):
        raise error
    assert "s3://bucket/key" in str(caught.value)
