"""`autollm-runtime`: one program, told what to do by one task document, that ends with an exit code of the worker contract."""

from __future__ import annotations

import argparse
import logging
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from autollm.contract import pod
from autollm.contract.exit_codes import ExitCode
from autollm.contract.redaction import told
from autollm.contract.tasks import TASK, AnyTask, EvaluateTask, in_slot
from autollm.errors import DocumentError
from autollm_runtime.worker import crew
from autollm_runtime.worker.context import Context
from autollm_runtime.worker.ending import Ending, ending_of, write_termination
from autollm_runtime.worker.faults import faults_of
from autollm_runtime.worker.gpus import check_gpus
from autollm_runtime.worker.importing import much_is_imported
from autollm_runtime.worker.in_hand import InHand
from autollm_runtime.worker.logs import quieten_libraries, start_logging
from autollm_runtime.worker.ports import cluster_ports, folder_ports
from autollm_runtime.worker.processes import end_at_once
from autollm_runtime.worker.ranks import SINGLE, Rank, take_rank
from autollm_runtime.worker.stopping import stop_on_signals
from autollm_runtime.worker.surroundings import settle_in

_log = logging.getLogger(__name__)

Work = Callable[[AnyTask, Context], None]

# By name, so that a task imports what its own kind needs and nothing else.
WORK: Mapping[str, str] = {
    "Prepare": "autollm_runtime.prepare:run_prepare",
    "Train": "autollm_runtime.train.run:run_train",
    "Evaluate": "autollm_runtime.evaluate.run:run_evaluate",
    "Publish": "autollm_runtime.publish:run_publish",
    "Pin": "autollm_runtime.publish:run_pin",
}
KINDS: Mapping[str, frozenset[str]] = {
    "prepare": frozenset({"Prepare"}),
    "train": frozenset({"Train"}),
    "evaluate": frozenset({"Evaluate"}),
    "publish": frozenset({"Publish", "Pin"}),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task, or the fork server, and return the exit code."""
    quieten_libraries()
    # On a machine that others use too, threads that spin while they wait for one another take ten times as long as those that sleep.
    # OpenMP reads this once, when PyTorch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = _parser().parse_args(argv)
    if options.command == "serve":
        from autollm_runtime.worker.serve import serve

        return serve(main)
    start_logging()
    in_hand = InHand(options.termination)
    try:
        rank = take_rank(os.environ)
    except DocumentError as error:
        rank, ending = SINGLE, Ending(ExitCode.USAGE, error.reason, str(error))
    else:
        ending = _run(options, rank, in_hand)
    ending = replace(ending, message=told(ending.message))
    crew_folder = os.environ.get(crew.FOLDER)
    if crew_folder is not None:
        crew.leave(Path(crew_folder), rank.number, ending)  # the launcher writes what they all come to
        # Gloo's threads let tensors go after they have woken whoever waits for them, and abort an interpreter that ends meanwhile.
        end_at_once(int(ending.code))
    elif options.termination is not None and rank.leads:
        write_termination(options.termination, ending.reason, ending.message, in_hand.trial)
    return int(ending.code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="autollm-runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in KINDS:
        task = commands.add_parser(command, help=f"run one {command} task")
        task.add_argument("--task", type=Path, required=True, metavar="FILE", help="the task document, as JSON or packed as a pod gets it")
        place = task.add_mutually_exclusive_group(required=True)
        place.add_argument("--objects", type=Path, metavar="DIR", help="the folder of objects that is reported to")
        place.add_argument("--namespace", metavar="NS", help="the namespace of the Kubernetes objects that are reported to")
        task.add_argument("--termination", type=Path, metavar="FILE", help="where reason and message of the end are written")
        task.add_argument("--scratch", type=Path, metavar="DIR", help="a folder of the task's own (default: scratch, beside FILE)")
        task.add_argument("--threads", type=_threads, metavar="N", help="threads to compute with (default: one for each core)")
    commands.add_parser("serve", help="fork a worker for each JSON line on standard input, PyTorch being imported already")
    return parser


def _threads(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads: give a whole number from 1")
    return int(text)


def _run(options: argparse.Namespace, rank: Rank, in_hand: InHand) -> Ending:
    stop = stop_on_signals()
    if crew.FOLDER in os.environ and crew.report_for_work(Path(os.environ[crew.FOLDER]), rank.number):
        stop.set()
    try:
        task = _read_task(options.task)
    except (OSError, ValueError) as error:
        cause = faults_of(error) if isinstance(error, ValidationError) else str(error)
        _log.error("the task document cannot be read", extra={"task": str(options.task), "cause": cause})
        return Ending(ExitCode.USAGE, "InvalidTask", f"the task document {options.task.name} cannot be read: {cause}")
    if task.kind not in KINDS[options.command]:
        message = f"`autollm-runtime {options.command}` was given a task of kind {task.kind}: use the command of that kind"
        return Ending(ExitCode.USAGE, "InvalidTask", message)
    scratch: Path = options.scratch or options.task.parent / "scratch"
    threads: int = options.threads or len(os.sched_getaffinity(0))
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        if options.namespace is not None:
            settle_in(scratch, os.environ)
        try:
            ports = folder_ports(options.objects) if options.namespace is None else cluster_ports(options.namespace, os.environ)
        except DocumentError as error:
            _log.error("the worker cannot begin", extra={"task": task.id, "cause": str(error)})
            return Ending(ExitCode.USAGE, error.reason, str(error))
        work = _load(task.kind, threads)
        check_gpus(os.environ, rank)
        in_pod = options.namespace is not None
        context = Context(ports.reports, ports.trials, scratch, stop, threads=threads, rank=rank, in_hand=in_hand, in_pod=in_pod)
        work(task, context)
    except Exception as error:
        ending = ending_of(error)
        if ending.unexpected:
            _log.exception("the task failed", extra={"task": task.id, "kind": task.kind})
        else:
            _log.warning("the task ended", extra={"task": task.id, "kind": task.kind, "reason": ending.reason, "cause": ending.message})
        return ending
    return Ending(ExitCode.DONE, "Completed", "")


def _read_task(path: Path) -> AnyTask:
    """Return a task, that of an evaluator in the slot that its pod's completion index names."""
    data = path.read_bytes()
    task = TASK.validate_json(data if data.lstrip().startswith(b"{") else pod.unpack_task(data.decode().strip()))
    index = os.environ.get(pod.COMPLETION_INDEX)
    if isinstance(task, EvaluateTask) and task.trial is None and index is not None:
        return in_slot(task, int(index))
    return task


def _load(kind: str, threads: int) -> Work:
    """Import the program of one kind of task and give its libraries their threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)
    with much_is_imported():
        work: Work = pkgutil.resolve_name(WORK[kind])
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
    return work


if __name__ == "__main__":
    sys.exit(main())
