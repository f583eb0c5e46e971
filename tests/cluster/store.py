"""An S3 server beside the pods of a node: versitygw, over a folder that tests can look into."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.node import Node
from cluster.sandbox import ADDRESS
from cluster.waiting import wait_until
from support.versitygw import KEYS, REGION, command

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROGRAM = "versitygw"
"""Its name among the sandbox's processes, by which a test kills it."""

SECRET = "s3-credentials"  # a name
PORT = 7070
"""Where it is reached at the node's address."""


@dataclass(frozen=True)
class Store:
    """A server that runs: pods reach it at `endpoint`; its buckets are sub-folders of `folder`."""

    endpoint: str
    folder: Path
    client: S3Client

    def make_bucket(self, name: str) -> str:
        """Make a bucket and return its URI."""
        self.client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def put(self, bucket: str, folder: Path) -> None:
        """Upload the files of a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.client.upload_file(str(path), bucket, str(path.relative_to(folder)))


def start_store(node: Node) -> Store:
    """Start the server; it ends with the node."""
    import boto3

    data = node.plane.folder / "buckets"
    data.mkdir()
    processes = node.sandbox.processes
    processes.start(PROGRAM, *command(f"{ADDRESS}:{PORT}", data), env=os.environ | KEYS)
    keys: Any = {"aws_access_key_id": KEYS["ROOT_ACCESS_KEY"], "aws_secret_access_key": KEYS["ROOT_SECRET_KEY"]}
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{node.sandbox.forward(PORT)}", region_name=REGION, **keys)
    wait_until(lambda: _answers(client), f"versitygw does not answer; see {processes.log(PROGRAM)}")
    return Store(f"http://{ADDRESS}:{PORT}", data, client)


def give_credentials(node: Node, namespace: str) -> None:
    """Put the keys of the server's owner into a Secret."""
    keys = {"AWS_ACCESS_KEY_ID": KEYS["ROOT_ACCESS_KEY"], "AWS_SECRET_ACCESS_KEY": KEYS["ROOT_SECRET_KEY"]}
    secret = {"kind": "Secret", "metadata": {"name": SECRET}, "stringData": keys}
    node.cluster.create(f"/api/v1/namespaces/{namespace}/secrets", secret)


def _answers(client: S3Client) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True
