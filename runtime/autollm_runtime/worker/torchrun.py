"""Several processes of one training on this node: torchrun, with the exit codes and the grace of a worker.

    python -m autollm_runtime.worker.torchrun --standalone --nproc-per-node=2 -- autollm-runtime train --task …

torchrun itself ends with 1 whatever happened to a process, so that Kubernetes could not tell bad input from a node that was lost, and it
kills what has not ended half a minute after SIGTERM, in the middle of a large checkpoint. Here the code is that of the process that
failed first of itself, the termination file says why, and on SIGTERM the processes end by themselves as soon as they have saved. While
none has begun, because the other nodes are still waited for, torchrun is ended at once.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autollm.contract.exit_codes import ExitCode
from autollm.contract.redaction import told
from autollm_runtime.worker import crew
from autollm_runtime.worker.ending import Ending, write_termination
from autollm_runtime.worker.logs import start_logging
from autollm_runtime.worker.processes import die_with_parent

_log = logging.getLogger(__name__)

_USAGE = "write torchrun's options, two dashes, and the command to run: --nproc-per-node=2 -- autollm-runtime train --task FILE"


def main(argv: Sequence[str] | None = None) -> int:
    """Run torchrun to its end and return the exit code of the training on this node."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--" not in given:
        sys.stderr.write(f"{_USAGE}\n")
        return ExitCode.USAGE
    start_logging()
    options, command = given[: given.index("--")], given[given.index("--") + 1 :]
    scratch = crew.option(command, "--scratch")
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        ending = _run(options, command, Path(folder))
    termination = crew.option(command, "--termination")
    if termination is not None:
        write_termination(termination, ending.reason, told(ending.message))
    return int(ending.code)


def _run(options: Sequence[str], command: Sequence[str], folder: Path) -> Ending:
    torchrun = [sys.executable, "-m", "torch.distributed.run", *options, "--no-python", *command]
    # A list of words of this program's own command line, run without a shell; in a session of its own, because what a terminal sends to
    # all would reach torchrun too, which then kills.
    environment = os.environ | {crew.FOLDER: str(folder), "TORCHELASTIC_ERROR_FILE": str(folder / crew.TORCHRUN)}
    with subprocess.Popen(  # noqa: S603  # as said above
        torchrun, env=environment, start_new_session=True, preexec_fn=partial(die_with_parent, os.getpid())
    ) as process:

        def stop(*_: object) -> None:
            if not crew.ask_to_stop(folder):
                process.terminate()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        _log.info("the training begins when all of its nodes are here", extra={"torchrun": " ".join(options)})
        code = process.wait()
    return crew.ending_of_all(folder, code)


if __name__ == "__main__":
    sys.exit(main())
