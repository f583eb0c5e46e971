"""A whole tuned model as a delta: its difference to the base, never made unless it is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autollm.errors import InputError
from autollm_runtime.delta.checkpoint import Checkpoint, open_checkpoint, read_json

_TOKENIZER = "tokenizer.json"
_MANY = 3


@dataclass(frozen=True)
class TunedModel:
    """A model that was tuned from the base: its delta is W_tuned − W_base, parameter by parameter."""

    name: str
    checkpoint: Checkpoint


def open_tuned(name: str, folder: Path, base: Checkpoint) -> TunedModel:
    """Open a model and check that it has the parameters, the shapes and the tokens of the base.

    Raises InputError naming what one of the two lacks (reason OtherBase), or the token that differs (reason OtherTokenizer).
    """
    tuned = open_checkpoint(folder)
    ours, theirs = _parameters(base), _parameters(tuned)
    for lacking, names in ((f"delta {name!r}", sorted(ours - theirs)), ("the base", sorted(theirs - ours))):
        if names:
            listed = ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
            raise InputError(
                f"delta {name!r} ({folder}) and the base {base.folder} are different models: {lacking} lacks {listed}", reason="OtherBase"
            )
    for parameter in sorted(ours):
        stored, changed = base.entries[str(base.locate(parameter))].shape, tuned.entries[str(tuned.locate(parameter))].shape
        if stored != changed:
            raise InputError(
                f"delta {name!r} ({folder}) has {parameter} as {list(changed)}, but the base has {list(stored)}; "
                "give a model that was tuned from this base, with its vocabulary unchanged",
                reason="OtherBase",
            )
    _check_tokenizers(name, folder, base.folder)
    return TunedModel(name, tuned)


def _parameters(checkpoint: Checkpoint) -> set[str]:
    """Return the stored names, a head that is tied to the embedding left out."""
    return set(checkpoint.entries) - ({str(checkpoint.head)} if checkpoint.tied_head else set())


def _check_tokenizers(name: str, tuned: Path, base: Path) -> None:
    """Compare vocabularies token by token: rows of equal shape may still mean other tokens."""
    if not (tuned / _TOKENIZER).is_file() or not (base / _TOKENIZER).is_file():
        return
    ours, theirs = _tokens(base / _TOKENIZER), _tokens(tuned / _TOKENIZER)
    different = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    if different:
        token = different[0]
        raise InputError(
            f"delta {name!r} ({tuned}) has another tokenizer than the base {base}: {len(different)} tokens differ, "
            f"first {token!r} with id {theirs.get(token, 'none')}, in the base {ours.get(token, 'none')}; tune with the base's",
            reason="OtherTokenizer",
        )


def _tokens(path: Path) -> dict[str, int]:
    document: dict[str, Any] = read_json(path)
    vocabulary = document.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # unigram models list tokens with their scores, in the order of ids
        vocabulary = {json.dumps(entry[0]): index for index, entry in enumerate(vocabulary)}
    return dict(vocabulary) | {entry["content"]: entry["id"] for entry in document.get("added_tokens", [])}
