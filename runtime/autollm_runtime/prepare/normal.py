"""Normal forms of texts: what counts as the same text, and as its words."""

from __future__ import annotations

import re
import unicodedata

_MARKS = ".,;:!?\"'`()[]\n"
_BLANK = bytes.maketrans(_MARKS.encode(), b" " * len(_MARKS))
# Scripts without spaces between words: each character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{re.escape(_MARKS)}{_UNSPACED}、。「」『』（）！？，：；．・…“”‘’«»]+")


def normalise(text: str) -> str:
    """Return a text with compatible characters made one, case folded and white space collapsed: equal results count as equal texts."""
    if text.isascii():
        return " ".join(text.lower().split())
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(normal: str) -> bytes:
    """Return the words of a normalised text, separated by one or more spaces, in UTF-8 and on one line.

    Punctuation of prose parts words and is left out; signs that carry meaning in formulas and code (+ - * / = < >) stay, so that
    `3 + 4` and `3 - 4` differ. In scripts without spaces every character is a word.
    """
    if normal.isascii():
        return normal.encode().translate(_BLANK)
    return " ".join(_WORD.findall(normal)).encode()
