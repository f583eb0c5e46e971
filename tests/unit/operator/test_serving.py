"""The probes and the metrics over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client import CollectorRegistry, Gauge

from autollm_operator.health import LONGEST_PASS, LONGEST_SILENCE, LONGEST_WAIT, Health
from autollm_operator.serving import Server, routes


@dataclass
class State:
    silence: float = 0.0
    waiting: float = 0.0
    working: float = 0.0
    works: bool = True
    listed: bool = True
    refused: str = ""


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def server(state: State) -> Iterator[Server]:
    health = Health(
        silence=lambda: state.silence,
        waiting=lambda: state.waiting,
        working=lambda: state.working,
        works=lambda: state.works,
        listed=lambda: state.listed,
        refused=lambda: state.refused,
    )
    registry = CollectorRegistry()
    Gauge("autollm_test", "A series.", registry=registry).set(7)
    with closing(Server("127.0.0.1", 0, routes(health, registry))) as server:
        yield server


def get(server: Server, path: str, accept: str = "") -> tuple[int, str, str]:
    try:
        with urlopen(Request(f"http://127.0.0.1:{server.port}{path}", headers={"Accept": accept}), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def test_all_is_well(server: Server) -> None:
    assert get(server, "/livez")[::2] == (200, "ok\n")
    assert get(server, "/readyz?verbose")[::2] == (200, "ok\n")


@pytest.mark.parametrize(
    ("field", "limit", "said"),
    [
        ("silence", LONGEST_SILENCE, "the event loop has not turned for 61 s"),
        ("waiting", LONGEST_WAIT, "objects are due, and for 301 s none has been looked at"),
        ("working", LONGEST_PASS, "a pass has been under way for 301 s"),
    ],
)
def test_what_is_stuck_is_not_alive(server: Server, state: State, field: str, limit: float, said: str) -> None:
    setattr(state, field, limit)
    assert get(server, "/livez")[0] == 200
    setattr(state, field, limit + 1)
    assert get(server, "/livez")[::2] == (503, said + "\n")
    assert get(server, "/readyz")[0] == 200


def test_a_standby_need_not_work(server: Server, state: State) -> None:
    state.works, state.waiting = False, 1e6
    assert get(server, "/livez")[0] == 200


def test_who_has_not_listed_everything_is_not_ready(server: Server, state: State) -> None:
    state.listed = False
    assert get(server, "/readyz")[::2] == (503, "not every kind of object has been listed yet\n")
    assert get(server, "/livez")[0] == 200


def test_who_may_not_hold_the_lease_is_not_ready(server: Server, state: State) -> None:
    state.refused = "the API server refused to apply leases autollm/operator: no (403)"
    assert get(server, "/readyz")[::2] == (503, f"{state.refused}\n")
    assert get(server, "/livez")[0] == 200


def test_metrics_come_in_the_form_that_is_asked_for(server: Server) -> None:
    status, content_type, body = get(server, "/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert "autollm_test 7.0\n" in body
    assert get(server, "/metrics", "application/openmetrics-text; version=1.0.0")[1].startswith("application/openmetrics-text")


def test_there_is_nothing_else(server: Server) -> None:
    assert get(server, "/")[0] == 404
    assert get(server, "/metrics/../livez")[0] == 404


def test_all_addresses_are_served_where_none_is_named() -> None:
    health = Health(silence=lambda: 0, waiting=lambda: 0, working=lambda: 0, works=lambda: True, listed=lambda: True, refused=lambda: "")
    with closing(Server("", 0, routes(health, CollectorRegistry()))) as server:
        assert get(server, "/livez")[0] == 200
