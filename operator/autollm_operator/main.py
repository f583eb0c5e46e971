"""The program `autollm-operator`: reads its settings, works until it is told to stop, and is gone within seconds then."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from importlib.metadata import version
from pathlib import Path

from autollm.contract.log_lines import log_to_stderr
from autollm.errors import AutoLLMError
from autollm_operator.operation import Operation
from autollm_operator.settings import read_settings
from autollm_operator.threads import end_with_any

_log = logging.getLogger(__name__)


def main() -> None:
    """Run the operator: exit code 0 when it was told to stop, 1 when it cannot or may not work, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="autollm-operator", description="Carries out AutoLLMRuns in a Kubernetes cluster.")
    parser.add_argument("--settings", type=Path, required=True, metavar="FILE", help="a YAML file, as the chart writes it")
    arguments = parser.parse_args()
    log_to_stderr("autollm", "autollm_operator")
    end_with_any()
    _log.info("the operator starts", extra={"version": version("autollm")})
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    try:
        Operation(read_settings(arguments.settings)).run(stop)
    except AutoLLMError as error:
        _log.error("%s", error, extra={"reason": error.reason})
        sys.exit(1)


if __name__ == "__main__":
    main()
