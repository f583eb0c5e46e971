"""Connections that are given up before a byte is sent where a name has led to a refused address.

The address is that of the connection itself: a name that answers otherwise when it is looked up again, and a redirect, change nothing.
"""

from __future__ import annotations

import socket
from typing import Any

from botocore.awsrequest import AWSHTTPConnection, AWSHTTPConnectionPool, AWSHTTPSConnection, AWSHTTPSConnectionPool

from autollm.store.addresses import check_address


class _Checked:
    """What both connections do differently from botocore's."""

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]  # of the mixed-in connection
        if connection.proxy is None:  # a proxy is what the administrator says, and resolves names itself
            try:
                check_address(sock.getpeername()[0], connection.host)
            except BaseException:
                sock.close()
                raise
        return sock


class _Http(_Checked, AWSHTTPConnection):  # type: ignore[misc]  # botocore has no types
    pass


class _Https(_Checked, AWSHTTPSConnection):  # type: ignore[misc]  # botocore has no types
    pass


class _HttpPool(AWSHTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _Https


def guard(client: Any) -> None:
    """Have a botocore client connect so; credentials come by other connections, to where the environment says, and are not touched."""
    pools = client._endpoint.http_session._pool_classes_by_scheme
    pools["http"], pools["https"] = _HttpPool, _HttpsPool
