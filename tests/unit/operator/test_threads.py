"""What becomes of a process one of whose threads dies."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from autollm.contract.log_lines import log_to_stderr
from autollm_operator.threads import end_with_any

log_to_stderr()
end_with_any()
error = {error}

def dies():
    raise error

threading.Thread(target=dies, name="beginning").start()
threading.Event().wait()
"""


@pytest.mark.parametrize("error", ['RuntimeError("can\'t start new thread")', "SystemExit(0)"])
def test_it_ends_with_the_traceback_in_its_log(error: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(error=error)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert line["message"] == "the thread beginning has died, so the operator ends"
    assert "in dies" in line["exception"]
