"""The log of every process that runs for long: one JSON object a line on standard error, and libraries quiet while all is well."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any

from autollm.contract.redaction import redacted

_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""What steers a terminal or the direction of text; JSON escapes the other control characters by itself."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """Time, level, logger and message, then whatever `extra` the call gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one record as one line."""
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _UNSEEN.sub(_escaped, json.dumps(_shown(line), ensure_ascii=False))


def _shown(value: Any) -> Any:
    """A value as it may be read by anybody: texts without secrets, and whatever JSON does not know as such a text."""
    match value:
        case None | bool() | int() | float():
            return value
        case dict():
            return {redacted(str(name)): _shown(part) for name, part in value.items()}
        case list() | tuple():
            return [_shown(part) for part in value]
        case _:
            return redacted(str(value))


def _escaped(unseen: re.Match[str]) -> str:
    return json.dumps(unseen[0])[1:-1]


def log_to_stderr(*talkative: str) -> None:
    """Send this process's log to standard error: these loggers from INFO, everybody else's from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in talkative:
        logging.getLogger(name).setLevel(logging.INFO)
