"""One of two processes that go through what can happen to peers, and say how it went; arguments: rank, port."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import torch

from autollm.errors import InputError
from autollm.store import StoreUnavailableError
from autollm_runtime.train import peers
from autollm_runtime.train.peers import Group, first_on_node
from autollm_runtime.worker.ending import is_out_of_memory
from autollm_runtime.worker.ranks import Rank


def outcome(call: Callable[[], object]) -> str:
    """Say what a call came to: its value, or its error."""
    try:
        return str(call())
    except Exception as error:
        return "OutOfMemory" if is_out_of_memory(error) else type(error).__name__


def failing(rank: int, who: int, error: Exception) -> Callable[[], float]:
    """A part that fails in one process."""

    def part() -> float:
        if rank == who:
            raise error
        return 1.0

    return part


def gradients(group: Group, rank: int) -> list[float]:
    """Add gradients that fill several buckets, one tensor being larger than a bucket and one without any gradient on one side."""
    peers._BUCKET = 8
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 20, 5, 2)]
    for number, parameter in enumerate(parameters):
        if number != 2 or rank == 0:
            parameter.grad = torch.full_like(parameter, float(10 * number + rank + 1))
    group.make_room(parameters)
    group.add_gradients(parameters)
    return [
        float(parameter.grad[0])
        for parameter in parameters
        if parameter.grad is not None and bool((parameter.grad == parameter.grad[0]).all())
    ]


def fail_in_between(group: Group, rank: int) -> str:
    """One process fails outside the agreed parts and tells; the other is waiting in the next one."""
    if rank == 0:
        group.tell(MemoryError("the optimiser's state"))
        return "told"
    return outcome(lambda: group.together(lambda: 0.0))


def main(rank: int, port: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    group = Group(Rank(rank, 2, rank), torch.device("cpu"))
    shared = torch.full((2,), float(rank + 5))
    group.share([shared])
    said = {
        "sum": group.together(lambda: float(rank + 1)).value,
        "stop": group.together(lambda: 0.0, lambda: rank == 1).stop,
        "memory": outcome(lambda: group.together(failing(rank, 1, MemoryError("no")))),
        "input": outcome(lambda: group.together(failing(rank, 0, InputError("no")))),
        "away": outcome(lambda: group.together(failing(rank, 0, StoreUnavailableError("no answer")))),
        "after": group.together(lambda: 1.0).value,
        "between": fail_in_between(group, rank),
        "leader": group.from_leader(lambda: {"made by": rank}),
        "failing leader": outcome(lambda: group.from_leader(lambda: failing(rank, 0, InputError("no"))())),
        "first": first_on_node(group, lambda: rank),
        "shared": shared.tolist(),
        "gradients": gradients(group, rank),
    }
    print(json.dumps(said), flush=True)
    sys.stdin.readline()
    print(json.dumps(outcome(lambda: group.together(lambda: 0.0))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
