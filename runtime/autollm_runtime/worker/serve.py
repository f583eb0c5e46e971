"""The fork server: it imports PyTorch and what builds on it once, then forks a worker for every order on standard input.

    → {"id": "t1", "argv": ["train", "--task", …], "log": FILE, "threads": 2, "cwd": DIR}     start a worker
    ← {"id": "t1", "pid": 4711}
    → {"id": "t1", "signal": 15}                                                               signal it
    ← {"id": "t1", "pid": 4711, "exit": 143}                                                   it ended; 128 + n: by signal n
    ← {"id": "t1", "error": "…"}                                                               an order that cannot be obeyed

One JSON object a line. `threads` and `cwd` may be left out. At the end of its input, and at its own end, all workers are killed.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from autollm.resources.model import Model
from autollm_runtime.worker.faults import faults_of
from autollm_runtime.worker.importing import much_is_imported
from autollm_runtime.worker.logs import start_logging
from autollm_runtime.worker.processes import count_threads, fork_worker, kill_session

_log = logging.getLogger(__name__)

Main = Callable[[Sequence[str]], int]

PRELOADED = (
    "torch",
    "safetensors.torch",
    "tokenizers",
    "transformers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
    "transformers.generation",
    "datasets",
    "peft",
    "trl.trainer.sft_trainer",
    "trl.trainer.dpo_trainer",
    "autollm_runtime.prepare.task",
    "autollm_runtime.train.run",
    "autollm_runtime.evaluate.run",
    "autollm_runtime.publish.pin",
    "autollm_runtime.publish.run",
)
LONGEST_ORDER = 1 << 20


class Start(Model):
    """The order to start a worker; `argv` is that of `autollm-runtime`."""

    id: str
    argv: list[str]
    log: Path
    threads: int | None = Field(None, ge=1)
    cwd: Path | None = None


class Signal(Model):
    """The order to signal a worker; one that has ended already is let be."""

    id: str
    signal: signal.Signals


class Server:
    """Obeys orders from one descriptor and answers on another until the first ends."""

    def __init__(self, orders: int, answers: int, main: Main) -> None:
        self._orders = orders
        self._answers = answers
        self._main = main
        self._workers: dict[int, str] = {}
        self._buffer = b""
        self._skipping = False
        self._selector = selectors.EpollSelector()
        self._woken, self._waker = socket.socketpair()

    def run(self) -> None:
        """Serve until the orders end or nobody reads the answers; no worker outlives the call."""
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        self._selector.register(self._orders, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        try:
            while self._serve_once():
                pass
        except BrokenPipeError:
            _log.warning("nobody reads the answers any more; the workers are killed")
        finally:
            for pid in self._workers:
                kill_session(pid)
            for pid in self._workers:
                os.waitpid(pid, 0)

    def _serve_once(self) -> bool:
        ready = {key.fd for key, _ in self._selector.select()}
        if self._woken.fileno() in ready:
            self._woken.recv(4096)
            self._reap()
        return self._orders not in ready or self._read()

    def _read(self) -> bool:
        data = os.read(self._orders, 1 << 16)
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if lines and self._skipping:
            del lines[0]
            self._skipping = False
        for line in lines:
            if line.strip():
                self._obey(line)
        if len(self._buffer) > LONGEST_ORDER:
            self._buffer = b""
            if not self._skipping:
                self._answer({"error": f"an order is longer than {LONGEST_ORDER} bytes"})
            self._skipping = True
        return True

    def _obey(self, line: bytes) -> None:
        name: dict[str, Any] = {}
        try:
            document = json.loads(line)
            if not isinstance(document, dict):
                raise ValueError("it is not a JSON object")
            if isinstance(document.get("id"), str):
                name = {"id": document["id"]}
            if "signal" in document:
                self._signal(Signal.parse(document))
            else:
                self._start(Start.parse(document))
        except ValidationError as error:
            self._answer({**name, "error": f"the order cannot be obeyed: {faults_of(error)}"})
        except (ValueError, OSError) as error:
            self._answer({**name, "error": f"the order cannot be obeyed: {error}"})

    def _start(self, order: Start) -> None:
        if order.id in self._workers.values():
            raise ValueError(f"a worker with the id {order.id!r} is running")
        argv = [*order.argv, *(["--threads", str(order.threads)] if order.threads else [])]
        mine = (self._orders, self._answers, self._woken.fileno(), self._waker.fileno(), self._selector.fileno())
        pid = fork_worker(lambda: self._main(argv), log=order.log, cwd=order.cwd, close=mine)
        self._workers[pid] = order.id
        self._answer({"id": order.id, "pid": pid})

    def _signal(self, order: Signal) -> None:
        for pid, name in self._workers.items():
            if name == order.id:
                if order.signal is signal.SIGKILL:
                    kill_session(pid)
                else:
                    os.kill(pid, order.signal)

    def _reap(self) -> None:
        while self._workers and (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
            # The worker is kept as a zombie until what it left behind is killed: its number cannot be another's meanwhile.
            kill_session(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            code = os.waitstatus_to_exitcode(status)
            name = self._workers.pop(ended.si_pid)
            self._answer({"id": name, "pid": ended.si_pid, "exit": code if code >= 0 else 128 - code})

    def _answer(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode() + b"\n"
        while data:
            data = data[os.write(self._answers, data) :]


def preload() -> None:
    """Import what every worker would import, without starting a thread: a fork would lose it, and with it whatever lock it held."""
    # NumPy's BLAS starts its threads when it is loaded; PyTorch starts its own at the first parallel loop, which comes after the fork.
    # Arrow's own allocator starts one to return memory.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    with much_is_imported():
        for module in PRELOADED:
            try:
                importlib.import_module(module)
            except ImportError:
                _log.exception("a module cannot be imported ahead", extra={"module_name": module})
    if count_threads() > 1:
        _log.warning("the imports started threads, which workers will lack", extra={"threads": count_threads()})
    gc.collect()
    gc.freeze()


def serve(main: Main) -> int:
    """Run the fork server on this process's standard input and output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; whoever gives the orders decides what it means
    orders, answers = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    start_logging()
    preload()
    Server(orders, answers, main).run()
    gc.unfreeze()
    return 0
