"""The log of a worker: our own lines, and the libraries quiet unless something is wrong."""

from __future__ import annotations

import os

from autollm.contract.log_lines import log_to_stderr


def start_logging() -> None:
    """Send this process's log to standard error: our own from INFO, everybody else's from WARNING."""
    log_to_stderr("autollm", "autollm_runtime")


def quieten_libraries() -> None:
    """Turn off the progress bars and banners of the libraries; to be called before they are imported."""
    for name, value in {
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
    }.items():
        os.environ.setdefault(name, value)
