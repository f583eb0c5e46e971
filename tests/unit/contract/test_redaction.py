"""No secret is in what a worker says, whoever worded it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from autollm.contract.log_lines import JsonLines
from autollm.contract.redaction import HIDDEN, redacted, told

CANARIES = {
    "AWS_SECRET_ACCESS_KEY": 'canary-secret/with+signs="quoted"',
    "AWS_SESSION_TOKEN": "canary-session-token",
    "HF_TOKEN": "hf_canarycanarycanary0123",
    "WANDB_API_KEY": "canary-wandb",
    "DB_PASSWORD": "canary-password",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", CANARIES)
@pytest.mark.usefixtures("secrets")
def test_values_of_secret_variables_are_hidden(name: str) -> None:
    assert redacted(f"it said: {CANARIES[name]}!") == f"it said: {HIDDEN}!"


@pytest.mark.parametrize(
    "text",
    [
        "https://user:canary@s3.example.org/b",
        "https://s3/b/k?X-Amz-Algorithm=A&X-Amz-Signature=canary&x=1",
        "https://s3/b/k?X-Amz-Security-Token=canary%2F",
        "Authorization: AWS4-HMAC-SHA256 Credential=canary/eu/s3, SignedHeaders=host, Signature=canary",
        "{'authorization': 'Bearer canary'}",
        "aws_secret_access_key = canary",
        "token eyJjanary0000.eyJzdWIiOiJjYW5hcnki.c2lnLWNhbmFyeQ",
        "HF hf_canarycanarycanary01",
        "key AKIACANARYCANARYCANA",
    ],
)
def test_what_has_the_shape_of_a_secret_is_hidden(text: str) -> None:
    found = redacted(text)
    assert HIDDEN in found
    assert "canary" not in found.lower()
    assert "eyJ" not in found


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/prefix/records/0123.jsonl: access was denied: check AWS_SECRET_ACCESS_KEY or the profile",
        "the record has 4096 tokens; give a token in HF_TOKEN",
        "source math, file file:///data/a:b@c.jsonl, line 60",
        "the model at hf://org/name@0123456789abcdef has digest sha256:" + "a" * 64,
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_paths_and_short_words_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token")
    monkeypatch.setenv("USE_AUTH", "true")
    assert redacted("true: /var/run/secrets/token") == "true: /var/run/secrets/token"


def test_what_is_told_cannot_steer_a_terminal() -> None:
    assert told("a\x1b[2Jb\x9b31m\u202ec\nd\udc80") == "a\\x1b[2Jb\\x9b31m\\u202ec d\\udc80"
    assert len(told("x" * 10_000)) == 4096
    assert told("x" * 4096) == "x" * 4096


@pytest.mark.usefixtures("secrets")
def test_a_line_of_the_log_is_one_line_of_json_without_secrets_and_escape_sequences() -> None:
    try:
        raise ValueError(f"sent {CANARIES['AWS_SECRET_ACCESS_KEY']}")
    except ValueError:
        record = logging.LogRecord("autollm_runtime", logging.ERROR, __file__, 1, "it failed: %s", ("\x1b[31m\x9b\u202e",), sys.exc_info())
    record.extra_text = CANARIES["AWS_SECRET_ACCESS_KEY"]
    record.extra_list = [CANARIES["DB_PASSWORD"]]
    line = JsonLines().format(record)
    assert "canary" not in line
    assert line.isprintable()
    document = json.loads(line)
    assert document["message"] == "it failed: \x1b[31m\x9b\u202e"
    assert document["extra_text"] == HIDDEN


@pytest.fixture
def echo() -> Iterator[str]:
    """An S3 server that refuses every request and repeats, in its answer, all the headers it was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # http.server's name
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard = " ".join(f"{name}: {value}" for name, value in self.headers.items())
            body = f"<Error><Code>Strange</Code><Message>\x1b[31myou sent {heard}</Message></Error>".replace("\x1b", "&#x9b;").encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_HEAD = do_PUT = do_GET  # noqa: N815  # http.server's name

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_real_worker_says_no_secret_though_its_server_repeats_them(echo: str, tmp_path: Path) -> None:
    artifacts = {"uri": "s3://bucket/prefix", "endpoint": echo}
    task = {"kind": "Pin", "id": "pin", "run": "demo", "revision": "r1", "artifacts": artifacts}
    (tmp_path / "task.json").write_text(json.dumps(task))
    program = [str(Path(sys.executable).with_name("autollm-runtime")), "publish", "--task", str(tmp_path / "task.json")]
    places = ["--objects", str(tmp_path / "objects"), "--termination", str(tmp_path / "end")]
    environment = {"PATH": os.environ["PATH"], "AWS_ACCESS_KEY_ID": "AKIACANARYCANARYCANA", **CANARIES}
    done = subprocess.run([*program, *places], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 42
    everything = done.stdout + done.stderr + "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "you sent" in everything  # the server was heard
    assert "canary" not in everything.lower()
    assert all(line.isprintable() for line in everything.splitlines())
