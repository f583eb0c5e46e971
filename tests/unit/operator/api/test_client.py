"""What the adapter makes of answers that are no success, of none at all, and of lists that expire."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes.client import Configuration

from autollm_operator.api.client import KubernetesApi
from autollm_operator.api.port import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
    UnknownKindError,
)
from autollm_operator.api.resources import JOBS, RUNS


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str] = {}


class Asked(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


Script = Callable[[Asked], Answer]


class Server:
    """An API server that says what the test tells it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: Script = lambda asked: Answer(200, b"{}")
        self.over = Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                url = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(
                    self.command,
                    url.path,
                    parse_qs(url.query),
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(body) if body else None,
                )
                server.asked.append(asked)
                status, content, headers = server.script(asked)
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  # the names that http.server looks for

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server gives
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


@pytest.fixture
def seen() -> list[tuple[str, str, int]]:
    return []


def client(server: Server, seen: list[tuple[str, str, int]], read_seconds: float) -> KubernetesApi:
    configuration = Configuration(host=server.address)
    configuration.retries = False
    configuration.api_key["BearerToken"] = "Bearer s3cret"
    return KubernetesApi(configuration, read_seconds=read_seconds, observe=lambda *answer: seen.append(answer))


@pytest.fixture
def api(server: Server, seen: list[tuple[str, str, int]]) -> Iterator[KubernetesApi]:
    with closing(client(server, seen, 60.0)) as api:
        yield api


def refused(status: int, **said: Any) -> Answer:
    return Answer(status, json.dumps({"kind": "Status", "status": "Failure", "message": "because", "code": status, **said}).encode())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(400), InvalidError),
        (refused(401), ForbiddenError),
        (refused(403), ForbiddenError),
        (refused(404, details={"name": "x"}), NotFoundError),
        (refused(404), UnknownKindError),
        (Answer(404, b"404 page not found"), UnknownKindError),
        (refused(409, reason="AlreadyExists"), AlreadyExistsError),
        (refused(409, reason="Conflict"), ConflictError),
        (Answer(409, b"<html>"), ConflictError),
        (refused(413), InvalidError),
        (refused(422), InvalidError),
        (refused(422, details={"causes": [{"field": "metadata.uid"}]}), ConflictError),
        (refused(408), UnavailableError),
        (refused(429), UnavailableError),
        (refused(500), UnavailableError),
        (refused(500, message="failed to create typed patch object (x): .status.y: field not declared in schema"), InvalidError),
        (Answer(502, b"<html>nginx</html>"), UnavailableError),
        (refused(503), UnavailableError),
        (refused(504), UnavailableError),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else "",
)
def test_each_refusal_has_its_error(server: Server, api: KubernetesApi, seen: list[Any], answer: Answer, kind: type[ApiError]) -> None:
    server.script = lambda asked: answer
    with pytest.raises(ApiError, match="refused to create jobs team-a/x: ") as caught:
        api.create(JOBS, {"metadata": {"namespace": "team-a", "name": "x"}})
    assert type(caught.value) is kind
    assert caught.value.status == answer.status
    assert "html" not in str(caught.value)
    assert seen == [("create", "jobs", answer.status)]
    assert len(server.asked) == 1  # nothing is asked again unseen


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (refused(429)._replace(headers={"Retry-After": "7"}), 7.0),
        (refused(500, details={"retryAfterSeconds": 3}), 3.0),
        (refused(503)._replace(headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
        (refused(503), None),
    ],
)
def test_when_to_come_again_is_kept(server: Server, api: KubernetesApi, answer: Answer, seconds: float | None) -> None:
    server.script = lambda asked: answer
    with pytest.raises(UnavailableError) as caught:
        api.get(RUNS, "team-a", "x")
    assert caught.value.retry_after == seconds


def test_a_message_is_plain_and_of_bounded_length_and_holds_no_token(server: Server, api: KubernetesApi) -> None:
    said = "a\x1b[31m\n Post https://admin:hunter22@policy.test/?token=hunter22 " + "b" * 5000
    server.script = lambda asked: refused(422, message=said)
    with pytest.raises(InvalidError) as caught:
        api.get(RUNS, "team-a", "x")
    assert str(caught.value).isprintable()
    assert "hunter22" not in str(caught.value), "webhooks have URLs"
    assert len(str(caught.value)) < 1200
    assert "s3cret" not in str(caught.value)
    assert server.asked[0].headers["authorization"] == "Bearer s3cret"


def test_silence_is_unavailable(server: Server, seen: list[Any]) -> None:
    def silent(asked: Asked) -> Answer:
        server.over.wait()
        return Answer(200, b"{}")

    server.script = silent
    with (
        closing(client(server, seen, 0.5)) as api,
        pytest.raises(UnavailableError, match=r"did not answer when asked to get autollmruns team-a/x: .*timed out"),
    ):
        api.get(RUNS, "team-a", "x")
    assert seen == [("get", "autollmruns", 0)]


def test_an_answer_that_is_cut_is_unavailable(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: Answer(200, b'{"metadata": {', {"Content-Length": "1000", "Connection": "close"})
    with pytest.raises(UnavailableError):
        api.get(RUNS, "team-a", "x")


def test_an_answer_that_is_no_document_is_no_answer(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: Answer(200, b"<html>login</html>")
    with pytest.raises(UnavailableError):
        api.get(RUNS, "team-a", "x")


def test_nobody_there_is_unavailable(server: Server, api: KubernetesApi) -> None:
    server.close()
    with pytest.raises(UnavailableError):
        api.get(RUNS, "team-a", "x")


def names(api: KubernetesApi) -> list[str]:
    return [one["metadata"]["name"] for one in api.list(RUNS, "team-a", labels="a=b,c=d")]


def page(token: str, *found: str) -> Answer:
    return Answer(200, json.dumps({"metadata": {"continue": token}, "items": [{"metadata": {"name": name}} for name in found]}).encode())


def test_a_list_goes_on_from_token_to_token(server: Server, api: KubernetesApi) -> None:
    pages = {None: page("1=&", "a", "b"), "1=&": page("", "c")}
    server.script = lambda asked: pages[asked.query.get("continue", [None])[0]]
    assert names(api) == ["a", "b", "c"]
    assert [asked.query["labelSelector"] for asked in server.asked] == [["a=b,c=d"]] * 2


def test_a_list_that_expired_goes_on_with_what_is_there_now(server: Server, api: KubernetesApi) -> None:
    pages = {None: page("old", "a"), "old": refused(410, metadata={"continue": "new"}), "new": page("", "b")}
    server.script = lambda asked: pages[asked.query.get("continue", [None])[0]]
    assert names(api) == ["a", "b"]


def test_a_list_that_expired_without_a_token_begins_again(server: Server, api: KubernetesApi) -> None:
    answers = iter([page("old", "a"), refused(410), page("", "a", "b")])
    server.script = lambda asked: next(answers)
    assert names(api) == ["a", "a", "b"]


def test_a_list_that_is_refused_at_its_start_comes_later(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: refused(410)
    with pytest.raises(UnavailableError):
        names(api)
    assert len(server.asked) == 1


def test_a_deletion_names_the_uid_and_one_that_is_gone_is_done(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: refused(404)
    api.delete(JOBS, "team-a", "x", uid="u", propagation="Foreground")
    assert server.asked[0].body == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Foreground",
        "preconditions": {"uid": "u"},
    }


def test_an_eviction_names_the_uid_and_the_grace_and_one_that_is_gone_is_done(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: refused(404)
    api.evict("team-a", "x", uid="u", grace_seconds=5)
    assert server.asked[0].path.partition("?")[0] == "/api/v1/namespaces/team-a/pods/x/eviction"
    assert server.asked[0].body == {
        "kind": "Eviction",
        "apiVersion": "policy/v1",
        "metadata": {"name": "x"},
        "deleteOptions": {"preconditions": {"uid": "u"}, "gracePeriodSeconds": 5},
    }


def test_an_eviction_that_two_budgets_forbid_is_refused_though_the_answer_is_created(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: refused(500)._replace(status=201)
    with pytest.raises(UnavailableError, match="because"):
        api.evict("team-a", "x", uid="u", grace_seconds=5)


def test_a_pod_that_a_disruption_budget_keeps_is_evicted_later(server: Server, api: KubernetesApi) -> None:
    server.script = lambda asked: refused(429)
    with pytest.raises(UnavailableError):
        api.evict("team-a", "x", uid="u", grace_seconds=5)


@pytest.mark.parametrize(("found", "raises"), [(refused(404), False), ("other", False), ("u", True)])
def test_a_deletion_in_conflict_is_done_where_another_object_is_there(
    server: Server, api: KubernetesApi, found: Answer | str, raises: bool
) -> None:
    there = found if isinstance(found, Answer) else Answer(200, json.dumps({"metadata": {"uid": found}}).encode())
    server.script = lambda asked: refused(409) if asked.method == "DELETE" else there
    if raises:
        with pytest.raises(ConflictError):
            api.delete(JOBS, "team-a", "x", uid="u")
    else:
        api.delete(JOBS, "team-a", "x", uid="u")
