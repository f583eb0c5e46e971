"""A real S3 server on this machine: versitygw over a folder, built once and kept in a cache.

with built_server(tmp_path) as server:
    server.make_bucket("models")
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.waiting import wait_until
from support.go import built
from support.ports import free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSION = "v1.8.0"
PACKAGE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
REGION = "us-east-1"
KEYS = {"ROOT_ACCESS_KEY": "autollm-test", "ROOT_SECRET_KEY": "autollm-test-secret"}
"""The variables by which the server is told its owner's keys."""

_READY_SECONDS = 120.0


@dataclass(frozen=True)
class S3Server:
    """A server that runs: where it listens, the keys of its owner, and the folder whose sub-folders are its buckets."""

    endpoint: str
    access_key: str
    secret_key: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which boto3 uses this server, for `monkeypatch.setenv` or a process of its own."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> S3Client:
        """A client of the owner's."""
        import boto3

        keys: Any = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name=REGION, **keys)

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its URI."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def built_server(folder: Path, *, port: int | None = None) -> Iterator[S3Server]:
    """Run a server over `folder`; on a free port unless one is given. It ends with the block."""
    chosen = port if port is not None else free_port()
    data = folder / "buckets"
    data.mkdir(parents=True, exist_ok=True)
    log = folder / "versitygw.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(f"127.0.0.1:{chosen}", data),
            env=os.environ | KEYS,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait_until_it_listens(chosen, process, log)
        yield S3Server(f"http://127.0.0.1:{chosen}", KEYS["ROOT_ACCESS_KEY"], KEYS["ROOT_SECRET_KEY"], data, process)
    finally:
        process.kill()
        process.wait()


def command(address: str, data: Path) -> list[str]:
    """The command of a server that listens on an address and keeps its buckets as sub-folders of `data`."""
    return [str(program()), "--port", address, "--region", REGION, "--quiet", "posix", str(data)]


def program() -> Path:
    """The server's program, built if this machine has not built this version before."""
    return built(
        "versitygw", VERSION, lambda go, folder: ([str(go), "install", PACKAGE], {"GOBIN": str(folder), "GOFLAGS": "-buildvcs=false"})
    )


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    otherwise = f"the S3 server does not listen on {port}, and its log is {log}"
    wait_until(lambda: process.poll() is not None or _listens(port), otherwise, seconds=_READY_SECONDS)
    if process.poll() is not None:
        raise RuntimeError(f"the S3 server has ended:\n{log.read_text()}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
