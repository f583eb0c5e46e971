"""The boto3 client behind an S3 store: endpoint, credentials, time limits and retries."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Literal

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader, create_loader

from autollm.errors import InputError
from autollm.store.addresses import check_endpoint
from autollm.store.guarded import guard
from autollm.store.port import AccessDeniedError

if TYPE_CHECKING:
    from botocore.config import _RetryDict
    from mypy_boto3_s3 import S3Client

_CONNECT_SECONDS = 4
_READ_SECONDS = 60
_ATTEMPTS = 8  # with pauses of at most 0.05, 0.1 … 3.2 s between: a short restart goes unnoticed, a server that is down is told in seconds
_ATTEMPTS_VARIABLE = "AWS_MAX_ATTEMPTS"  # boto3's own, for those who would rather wait
_CONNECTIONS = 16
_DEFAULT_REGION = "us-east-1"  # what servers other than Amazon's sign with unless told otherwise


def make_client(endpoint: str | None, region: str | None) -> S3Client:
    """Return a client; credentials, and what is not given here, come from boto3's own chain (environment, files, roles).

    Raises InputError for an endpoint or region that cannot be one or is refused (ForbiddenAddress), AccessDeniedError for a profile
    that does not exist.
    """
    # Servers other than Amazon's often do not know the newer checksum headers; digests in our manifests check the content anyway.
    if endpoint is not None:
        check_endpoint(endpoint)
    checksums: Literal["when_required", "when_supported"] = "when_required" if endpoint else "when_supported"
    retries: _RetryDict = {"mode": "standard"}
    if _ATTEMPTS_VARIABLE not in os.environ:
        retries["total_max_attempts"] = _ATTEMPTS
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries=retries,
        max_pool_connections=_CONNECTIONS,
        request_checksum_calculation=checksums,
        response_checksum_validation=checksums,
        user_agent_extra="autollm",
    )
    try:
        core = botocore.session.Session()
        core.register_component("data_loader", _loader())
        session = boto3.Session(botocore_session=core)
        chosen = region or session.region_name or (_DEFAULT_REGION if endpoint else None)
        client = session.client("s3", endpoint_url=endpoint, region_name=chosen, config=config)
        guard(client)
        return client
    except ValueError as error:
        raise InputError("the endpoint is not an address: write one such as https://s3.example.org") from error
    except BotoCoreError as error:
        if "profile" in str(error).lower():
            raise AccessDeniedError(f"{error}: mend AWS_PROFILE, or add the profile to the file of credentials") from error
        raise InputError(f"S3 cannot be used with endpoint {endpoint!r} and region {region!r}: {error}") from error


@functools.cache
def _loader() -> Loader:
    """The description of the service, read once a process: it is most of what a client costs."""
    return create_loader()
