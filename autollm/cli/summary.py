"""The first line of a module's docstring, read from its source."""

from __future__ import annotations

import ast
import io
import tokenize
from importlib.util import find_spec

_BEFORE_DOCSTRING = {tokenize.ENCODING, tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}


def module_summary(module: str) -> str:
    """Return the first line of a module's docstring without importing it; empty where there is no module or none is written."""
    try:
        spec = find_spec(module)
    except ImportError:
        return ""
    source = getattr(spec.loader, "get_source", None) if spec else None
    text = source(module) if source else None
    for token in tokenize.generate_tokens(io.StringIO(text or "").readline):
        if token.type == tokenize.STRING:
            return str(ast.literal_eval(token.string)).strip().partition("\n")[0]
        if token.type not in _BEFORE_DOCSTRING:
            break
    return ""
