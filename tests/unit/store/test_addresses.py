"""Where a document's endpoint may not lead, however it is written."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from autollm.errors import InputError
from autollm.store import open_store, s3_client
from autollm.store.addresses import ForbiddenAddressError, check_address, check_endpoint

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "canary-secret", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://169.254.169.254",
        "http://169.254.170.23/v1/credentials",
        "https://[fe80::1]:443",
        "http://[fe80::1%25eth0]",
        "http://[fd00:ec2::254]",
        "http://[::ffff:169.254.169.254]",
        "http://[64:ff9b::a9fe:a9fe]",
        "http://[2002:a9fe:a9fe::]",
        "http://168.63.129.16",
        "http://100.100.100.200",
        "http://0.0.0.0:9000",
        "http://[::]:9000",
        "http://224.0.0.1",
        "http://metadata.google.internal",
        "http://Metadata.Google.Internal./",
    ],
)
def test_link_local_and_metadata_addresses_are_refused(endpoint: str) -> None:
    with pytest.raises(ForbiddenAddressError) as caught:
        open_store("s3://bucket/prefix", endpoint=endpoint)
    assert caught.value.reason == "ForbiddenAddress"


@pytest.mark.parametrize(
    "endpoint", ["ftp://s3.example.org", "file:///etc/passwd", "gopher://x", "s3.example.org", "http://", "http://h:99999999"]
)
def test_an_endpoint_is_http_or_https(endpoint: str) -> None:
    with pytest.raises(InputError, match="is not an address"):
        check_endpoint(endpoint)


@pytest.mark.parametrize("endpoint", ["https://user:canary-secret@s3.example.org", "https://s3.example.org/?X-Amz-Signature=canary-secret"])
def test_an_endpoint_has_no_secret_in_it_and_none_is_repeated(endpoint: str) -> None:
    with pytest.raises(InputError) as caught:
        check_endpoint(endpoint)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "endpoint", ["https://s3.example.org", "http://127.0.0.1:9000", "http://[::1]:9000", "http://minio:9000", "http://10.0.0.7"]
)
def test_servers_elsewhere_and_on_this_machine_are_allowed(endpoint: str) -> None:
    check_endpoint(endpoint)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.0.1"])
def test_the_address_behind_a_name_counts(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match=r"s3\.example\.org, which is"):
        check_address(address, "s3.example.org")


class _Server(HTTPServer):
    heard: list[str]
    answer: tuple[int, dict[str, str]]


@pytest.fixture
def servers() -> Iterator[tuple[_Server, _Server]]:
    """Two servers on loopback that note every request."""

    class Handler(BaseHTTPRequestHandler):
        server: _Server

        def do_GET(self) -> None:  # http.server's name
            self.server.heard.append(self.path)
            status, headers = self.server.answer
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_HEAD = do_PUT = do_GET  # noqa: N815  # http.server's names

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    both = []
    for _ in range(2):
        server = _Server(("127.0.0.1", 0), Handler)
        server.heard, server.answer = [], (200, {})
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        both.append(server)
    yield both[0], both[1]
    for server in both:
        server.shutdown()
        server.server_close()


def test_a_name_that_leads_to_a_refused_address_gets_no_byte(servers: tuple[_Server, _Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is made a refused address here: a connection that can be made and watched."""

    def refuse_loopback(text: str, of: str) -> None:
        if socket.inet_aton(text)[0] == 127:
            raise ForbiddenAddressError(f"the endpoint {of}, which is {text}, is refused")

    monkeypatch.setattr("autollm.store.guarded.check_address", refuse_loopback)
    monkeypatch.setattr(s3_client, "_ATTEMPTS", 2)
    store = open_store("s3://bucket/prefix", endpoint=f"http://localhost:{servers[0].server_port}")
    with pytest.raises(ForbiddenAddressError, match=r"localhost, which is 127\.0\.0\.1"):
        store.read("key")
    assert servers[0].heard == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(servers: tuple[_Server, _Server], monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    first, second = servers
    first.answer = (status, {"Location": f"http://127.0.0.1:{second.server_port}/secrets"})
    monkeypatch.setattr(s3_client, "_ATTEMPTS", 1)
    store = open_store("s3://bucket/prefix", endpoint=f"http://127.0.0.1:{first.server_port}")
    with pytest.raises(InputError, match=r"127\.0\.0\.1"):
        store.read("key")
    assert first.heard
    assert second.heard == []
