"""Words that come from outside, such as a library's error or a record's text, made fit for statuses, events and terminals."""

from __future__ import annotations

import unicodedata

LONGEST = 4096
"""Characters of a failure's message."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str, longest: int = LONGEST) -> str:
    """Return a text on one line of at most so many characters: control, format and direction characters stand there as their codes.

    Escape sequences would otherwise steer the terminal of whoever reads a status, and a lone surrogate cannot be written at all.
    """
    shown = "".join(_shown(character) for character in text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
