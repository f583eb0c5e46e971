"""The child: one request per line on standard input, one answer per line on standard output, until the input ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import warnings
from typing import Any


def main() -> None:
    """Answer requests until the parent closes the pipe or is gone."""
    # An interrupt on the terminal is the parent's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    # Whatever an optimiser prints must not end up between the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warnings.simplefilter("ignore")
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()

    from autollm.search import bayesian  # noqa: F401 - loaded before the first request, which then is answered at once

    # Candidates are worth less than what the evaluators do; loading beside them at this priority would take minutes.
    os.nice(10)
    _write(answers, {"ready": True})
    while True:
        _write(answers, _answer(requests.get()))


def _read(requests: queue.SimpleQueue[str]) -> None:
    """Read apart from the work, so that the end of the parent ends this process amid a computation."""
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)


def _answer(line: str) -> dict[str, Any]:
    from autollm.search import Request, SpaceExhausted, suggest

    try:
        suggestion = suggest(Request.parse(json.loads(line)))
    except SpaceExhausted as error:
        return {"exhausted": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"weights": dict(suggestion.weights), "origin": suggestion.origin.document(), "name": suggestion.name}


def _write(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
