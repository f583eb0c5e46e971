"""What an unquoted word of YAML is: read exactly as kubectl reads it.

kubectl's reader (goyaml v2 under sigs.k8s.io/yaml) is neither YAML 1.1 nor 1.2: `yes`, `y` and `on` are true as in 1.1, but `1:30` and
dates are text and `2e-4` is a number as in 1.2. What it makes of a document goes through JSON, where `1.0` and `1e3` are whole numbers.
"""

from __future__ import annotations

import base64
import binascii
import math
import re

Scalar = str | int | float | bool | None

PLAIN = "plain"
"""The tag that the reader of documents gives to an unquoted scalar without a tag of its own."""

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_FLOAT = re.compile(r"[-+]?([.][0-9]+|[0-9]+([.][0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGERS = (
    (re.compile(r"[-+]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"[-+]?0[bB][01]+"), 2),
    (re.compile(r"[-+]?0[oO][0-7]+"), 8),
    (re.compile(r"[-+]?0[0-7]+"), 8),
    (re.compile(r"[-+]?(0|[1-9][0-9]*)"), 10),
)
_INT64 = 2**63
_TAG = "tag:yaml.org,2002:"


def read_scalar(text: str, tag: str) -> Scalar:
    """Return the value of a scalar: `tag` is PLAIN for an unquoted one, otherwise its tag, which is that of text for a quoted one.

    Raises ValueError, with a sentence, for what kubectl refuses: a tag that does not fit its value, infinity and not-a-number.
    """
    if tag == PLAIN:
        return _finite(_resolve(text))
    match tag.removeprefix(_TAG):
        case "binary":
            try:
                return base64.b64decode(text, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise ValueError(f"{text!r} is not text in base64") from None
        case "int" | "float" | "bool" | "null" as kind:
            value = _resolve(text)
            kinds = {"int": (int,), "float": (float, int), "bool": (bool,), "null": (type(None),)}
            if not isinstance(value, kinds[kind]) or (isinstance(value, bool) and kind != "bool"):
                raise ValueError(f"{text!r} is not what its tag !!{kind} says: remove the tag or correct the value")
            return _finite(value)
        case _:
            return text


def _resolve(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _float(text) if _FLOAT.fullmatch(text) else text
    if text[0] not in "+-0123456789":
        return text
    digits = text.replace("_", "")
    for form, base in _INTEGERS:
        if form.fullmatch(digits):
            number = int(digits, base)
            if -_INT64 <= number < _INT64:
                return number
            if base != 10 and number >= 2 * _INT64:
                return text
            return float(number)
    return _float(digits, text) if _FLOAT.fullmatch(digits) else text


def _float(digits: str, text: str | None = None) -> float | str:
    """Return the number, or the text itself where no double is that large."""
    number = float(digits)
    return (text or digits) if math.isinf(number) else number


def _finite(value: Scalar) -> Scalar:
    """Return the value as JSON carries it on: a whole number is whole, however it was written."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number that a document may hold")
    return int(value) if value.is_integer() and -_INT64 <= value < _INT64 else value
