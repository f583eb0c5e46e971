"""Variables by which a document would send a worker's requests to an address of its choice: each works, and each is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import botocore.configprovider
import pytest

from autollm.resources.validate import check_data
from support.documents import SHORTEST, changed

OPENED = {
    "hub": "from autollm.store.hub import snapshot; snapshot('org/name')",
    "bucket": "from autollm.store import open_store; open_store('s3://bucket/prefix', region='eu-central-1').read('key')",
}
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


class _Listener(HTTPServer):
    heard: list[str]


@pytest.fixture
def listener() -> Iterator[_Listener]:
    """A server that notes what it is asked for, and has nothing."""

    class Handler(BaseHTTPRequestHandler):
        server: _Listener

        def do_GET(self) -> None:  # http.server's name
            self.server.heard.append(self.requestline)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_PUT = do_CONNECT = do_GET  # noqa: N815  # http.server's names

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = _Listener(("127.0.0.1", 0), Handler)
    server.heard = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def refused(name: str) -> list[str]:
    """Return the fields that `autollm validate` blames in a run whose pods are to have the variable."""
    _, problems = check_data("AutoLLMRun", changed(SHORTEST, {"spec.workers.env": [{"name": name, "value": "http://10.0.0.1"}]}))
    return [problem.field for problem in problems]


@pytest.mark.parametrize(
    ("name", "what", "keys"),
    [
        ("HF_ENDPOINT", "hub", {}),
        ("HTTPS_PROXY", "hub", {}),
        ("hTTps_PrOxY", "hub", {}),
        ("ALL_PROXY", "hub", {}),
        ("https_proxy", "bucket", KEYS),
        ("AWS_ENDPOINT_URL", "bucket", KEYS),
        ("AWS_ENDPOINT_URL_S3", "bucket", KEYS),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "bucket", {}),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "bucket", {}),
    ],
)
def test_what_leads_a_worker_elsewhere_is_refused(listener: _Listener, tmp_path: Path, name: str, what: str, keys: dict[str, str]) -> None:
    address = f"http://127.0.0.1:{listener.server_address[1]}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
    subprocess.run([sys.executable, "-c", OPENED[what]], env=environment | keys | {name: address}, capture_output=True, timeout=120)
    assert listener.heard, "the libraries do not know the variable any more"
    assert refused(name) == ["spec.workers.env[0].name"]


def test_of_all_that_the_s3_client_reads_only_keys_and_region_are_a_documents() -> None:
    known = botocore.configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES
    read = {name for _, names, *_ in known.values() for name in ([names] if isinstance(names, str) else names or [])}
    assert {"AWS_DEFAULT_REGION", "AWS_CONFIG_FILE"} <= read
    assert {name for name in read if not refused(name)} == {"AWS_DEFAULT_REGION"}


@pytest.mark.parametrize("name", ["HF_HOME", "HF_HUB_OFFLINE", "AWS_REGION", "NCCL_DEBUG", "WANDB_API_KEY", "SSH_KEY"])
def test_what_leads_nowhere_is_taken(name: str) -> None:
    assert refused(name) == []
