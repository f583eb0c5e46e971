"""Addresses that no document may lead to: where clouds hand out credentials, and what is not one machine's address at all.

Loopback stays allowed. On one machine an S3 server may well run beside AutoLLM, and in a pod loopback is the pod itself.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from autollm.errors import InputError

_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "fd00:ec2::254",  # Amazon; its other one, and those of Google, Azure and most others, are link-local
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
        ),
    )
)
_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class ForbiddenAddressError(InputError):
    """A document leads to an address that it must not."""

    reason = "ForbiddenAddress"


def check_address(text: str, of: str) -> None:
    """Raise ForbiddenAddressError for an IP address that is refused; `of` is the host it was found for."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in _METADATA:
        found = text if text == of else f"{of}, which is {text},"
        raise ForbiddenAddressError(f"the endpoint {found} is refused: link-local and metadata addresses are no place for artifacts")


def check_endpoint(endpoint: str) -> None:
    """Raise InputError for an endpoint that is no http(s) address of a server, or one that is refused.

    Names are looked up only when they are connected to; see `autollm.store.guarded`.
    """
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError("the endpoint is not an address: write one such as https://s3.example.org") from error
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"the endpoint {_shown(endpoint)} is not an address: write one such as https://s3.example.org")
    if parts.username is not None or parts.password is not None:
        raise InputError(f"the endpoint of {host} carries a user or a password: leave them out; keys come from the environment or a Secret")
    if parts.query or parts.fragment:
        raise InputError(f"the endpoint {_shown(endpoint)} has a ? or # part: leave it out")
    if host.rstrip(".") in _NAMES:
        raise ForbiddenAddressError(f"the endpoint {host} is refused: it is where a cloud hands out credentials")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return
    check_address(host, host)


def _shown(endpoint: str) -> str:
    """The endpoint without what might be secret in it."""
    return repr(endpoint.split("?")[0].rpartition("@")[2])
