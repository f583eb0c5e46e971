"""Secrets are taken out of everything a process says: messages of endings and failures, and every line of its log.

Our own errors name no secret. What is feared are those of libraries and servers, which repeat what they were sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from autollm.contract.wording import plain

HIDDEN = "[hidden]"

_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW|CREDENTIAL|API_?KEY|ACCESS_KEY|PRIVATE_?KEY|AUTH", re.IGNORECASE)
_SHORTEST = 6
_SHAPES = re.compile(
    r"(?P<userinfo>(?<=://)[^\s/@:]+:[^\s/@]+(?=@))"
    r"|(?P<query>(?<=[?&])(?:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig|access_token|token)=[^\s&#\"'<>]+)"
    r"|(?P<header>\b(?:Bearer|Basic|AWS4-HMAC-SHA256)\s+[^\s,;\"'<>]+(?:,?\s*(?:Credential|SignedHeaders|Signature)=[^\s,\"'<>]+)*)"
    r"|(?P<setting>\b(?:aws_secret_access_key|aws_session_token|password|hf_token)\s*[=:]\s*[^\s,;\"'<>]+)"
    r"|(?P<jwt>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
    r"|(?P<hub>\bhf_[A-Za-z0-9]{16,})"
    r"|(?P<amazon>\b(?:AKIA|ASIA)[A-Z0-9]{16}\b)",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Return a text without the values of secret environment variables, and without what has the shape of a secret."""
    for value in sorted(_values(os.environ), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


def told(text: str) -> str:
    """Return a text as it may stand in a status or a termination message: without secrets, on one line, of bounded length."""
    return plain(redacted(text))


def _values(environ: Mapping[str, str]) -> set[str]:
    """The values of variables that sound secret, but for paths of files, and for words too short to be told from any other."""
    return {value for name, value in environ.items() if len(value) >= _SHORTEST and not value.startswith("/") and _SECRET_NAME.search(name)}
