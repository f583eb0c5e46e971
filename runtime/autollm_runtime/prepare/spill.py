"""Canonical records on disk and, of each, a few numbers in memory: what lets a million of them be sorted out in little space."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autollm.resources.facts import Shape
from autollm_runtime.prepare.contents import Chat, Content, Document
from autollm_runtime.prepare.normal import normalise, words
from autollm_runtime.prepare.place import UnusableError
from autollm_runtime.prepare.split import SPLITS, SplitName, Splitter

SHAPES: tuple[Shape, ...] = ("messages", "preference", "text")
ID_DIGITS = 32
"""Hexadecimal digits of a record's id: 128 bits of the SHA-256 of its content."""

_HEAD = re.compile(rb'\{"id":"([0-9a-f]{16})[0-9a-f]{16}","source":"([^"]+)",')
"""How every line of a file of records begins."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Table:
    """The numbers of all records in the order they were read.

    `starts` are the byte offsets of the records' lines (one more than there are records), `keys` what `record_key` gives them,
    `contents` and `prompts` 64 bits of the digests of their normalised contents and prompts.
    """

    starts: NDArray[np.int64]
    sources: NDArray[np.uint16]
    shapes: NDArray[np.uint8]
    splits: NDArray[np.uint8]
    keys: Keys
    contents: Keys
    prompts: Keys

    def __len__(self) -> int:
        return len(self.keys)


class Spill:
    """Takes records one by one; writes each to `records`, and its words, for n-grams, to `words`, one a line."""

    def __init__(self, folder: Path, splitter: Splitter) -> None:
        self.records = folder / "records.jsonl"
        self.words = folder / "words.txt"
        self._splitter = splitter
        self._records = self.records.open("wb")  # closed with the spill
        self._words = self.words.open("wb")  # closed with the spill
        self._position = 0
        self._starts = array("q", [0])
        self._sources = array("H")
        self._shapes = array("B")
        self._splits = array("B")
        self._keys = array("Q")
        self._contents = array("Q")
        self._prompts = array("Q")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._records.close()
        self._words.close()

    def add(self, content: Content, *, source: int, name: str, use: SplitName, origin: str | None) -> None:
        """Add a record of the source of that index and name; `origin` is what it was derived from, None means its prompt.

        Raises UnusableError (NotText) where a text holds half a surrogate pair, which no UTF-8 can carry.
        """
        parts = _taken_apart(content)
        try:
            body = _encode(parts.fields)[1:].encode()
            prompt_key = _digest(parts.prompt.encode())
            origin_key = prompt_key if origin is None else _digest(normalise(origin).encode())
        except UnicodeEncodeError:
            raise UnusableError("NotText") from None
        split = self._splitter.split(origin_key, use)
        identity = hashlib.sha256(body).hexdigest()[:ID_DIGITS]
        head = b'{"id":"%s","source":"%s",' % (identity.encode(), name.encode())
        line = b'%s"origin":"%s",%s\n' % (head, origin_key.hex().encode(), body)
        self._records.write(line)
        self._words.write(words(f"{parts.prompt} {parts.answer}") + b"\n")
        self._position += len(line)
        self._starts.append(self._position)
        self._sources.append(source)
        self._shapes.append(SHAPES.index(parts.shape))
        self._splits.append(SPLITS.index(split))
        self._keys.append(int(identity[:16], 16) ^ _source_key(name.encode()))
        self._contents.append(_number(_digest(f"{parts.shape}\0{parts.whole}".encode())))
        self._prompts.append(_number(prompt_key))

    def table(self) -> Table:
        """Return the numbers of all records; no more can be added."""
        self._records.close()
        self._words.close()
        return Table(
            starts=np.frombuffer(self._starts, np.int64),
            sources=np.frombuffer(self._sources, np.uint16),
            shapes=np.frombuffer(self._shapes, np.uint8),
            splits=np.frombuffer(self._splits, np.uint8),
            keys=np.frombuffer(self._keys, np.uint64),
            contents=np.frombuffer(self._contents, np.uint64),
            prompts=np.frombuffer(self._prompts, np.uint64),
        )


def record_key(line: bytes) -> int:
    """Return 64 bits that tell a record from all others of its run: of its id and its source; raises ValueError for another line."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("the line does not begin as a record does")
    return int(head[1], 16) ^ _source_key(head[2])


def read_lines(path: Path, starts: NDArray[np.int64], rows: Iterable[int]) -> Iterator[bytes]:
    """Yield the lines of a spilled file at the given rows, in the order asked for; rows in file order are read without seeking back."""
    with path.open("rb", buffering=2**20) as file:
        position = 0
        for row in rows:
            start = int(starts[row])
            if start != position:
                file.seek(start)
            line = file.readline()
            position = start + len(line)
            yield line


@dataclass(frozen=True, slots=True)
class _Parts:
    """A content taken apart: the fields of its record, its normalised prompt and answers, and its whole normal form."""

    fields: dict[str, object]
    shape: Shape
    prompt: str
    answer: str
    whole: str


def _taken_apart(content: Content) -> _Parts:
    if isinstance(content, Document):
        text = normalise(content.text)
        return _Parts({"text": content.text}, "text", text, "", text)
    if isinstance(content, Chat):
        fields: dict[str, object] = {"messages": content.messages}
        turns, answers = content.messages[:-1], [content.messages[-1]["content"]]
    else:
        fields = {"prompt": content.prompt, "chosen": content.chosen, "rejected": content.rejected}
        turns, answers = content.prompt, [content.chosen, content.rejected]
    asked = [(turn["role"], normalise(turn["content"])) for turn in turns]
    normal = [normalise(answer) for answer in answers]
    # Whole sources share their system message: it makes no prompt the same as another.
    prompt = "\n".join(text for role, text in asked if role != "system")
    whole = "\0".join([*(f"{role}\1{text}" for role, text in asked), *normal])
    return _Parts(fields, "messages" if isinstance(content, Chat) else "preference", prompt, " ".join(normal), whole)


@cache
def _source_key(name: bytes) -> int:
    return _number(_digest(name))


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")
