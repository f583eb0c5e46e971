"""Documents from files, read as kubectl reads them, with the line of every field."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

import yaml

from autollm.errors import DocumentError
from autollm.resources.problems import Path, Problem
from autollm.resources.scalars import PLAIN, read_scalar

if TYPE_CHECKING:
    from yaml import BaseLoader

    from autollm.resources.run import AutoLLMRun
else:
    BaseLoader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

LARGEST_FILE = 3 * 1024 * 1024
"""Bytes; the API server takes no larger request."""
STDIN = FilePath("-")
_MOST_VALUES = 200_000
_DEEPEST = 64


@dataclass(frozen=True)
class Document:
    """One document of a file: plain data, and where each of its fields stands."""

    data: dict[str, Any]
    file: FilePath
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...] = ()

    def line(self, path: Path) -> int | None:
        """Return the line of a field, or of the nearest one around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def read_documents(file: FilePath) -> list[Document]:
    """Return the documents of a YAML or JSON file, empty ones left out; `-` is what comes from stdin.

    Raises DocumentError where the file is missing, unreadable, empty, too large, not UTF-8 or not YAML.
    """
    return parse_documents(_read_text(file), file)


def parse_documents(text: str, file: FilePath) -> list[Document]:
    """Return the documents of a text, empty ones left out; `file` is what messages call it.

    Raises DocumentError where it is empty or not YAML.
    """
    loader = _Loader(text)
    try:
        _check_depth(text)
        documents = []
        while (node := loader.get_node() if loader.check_node() else None) is not None:
            reading = _Reading()
            data = reading.value(node, ())
            if data is None:
                continue
            if not isinstance(data, dict):
                raise DocumentError(f"{file}:{reading.lines[()]} a document is a mapping that begins with apiVersion, not {data!r:.40}")
            documents.append(Document(data, file, reading.lines, tuple(reading.problems)))
    except yaml.MarkedYAMLError as error:
        raise DocumentError(_yaml_message(file, text, error)) from None
    except yaml.YAMLError as error:
        raise DocumentError(f"{file} is not YAML: {error}") from None
    finally:
        loader.dispose()
    if not documents:
        raise DocumentError(f"{file} holds no document: `autollm init` prints one to begin with")
    return documents


def load_run(file: FilePath) -> AutoLLMRun:
    """Return the one AutoLLMRun of a file, with its defaults and with relative locations made absolute, counted from the file.

    Raises DocumentError with every problem, one a line.
    """
    from autollm.resources.run import AutoLLMRun
    from autollm.resources.validate import check_file, located

    checked = check_file(file)
    problems = [problem.text(str(file)) for verdict in checked for problem in verdict.problems]
    if problems:
        raise DocumentError("\n".join(["the document is wrong", *problems]))
    runs = [verdict for verdict in checked if verdict.kind == "AutoLLMRun"]
    if len(runs) != 1:
        raise DocumentError(f"{file} holds {len(runs)} documents of kind AutoLLMRun: exactly one is run at a time")
    return AutoLLMRun.parse(located(runs[0], file.absolute().parent))


def _read_text(file: FilePath) -> str:
    if file == STDIN and sys.stdin is None:
        raise DocumentError("no document can be read from standard input, which is closed")
    try:
        with nullcontext(sys.stdin.buffer) if file == STDIN else file.open("rb") as stream:
            raw = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise DocumentError(f"{file} does not exist: `autollm init > {file.name}` writes one to begin with") from None
    except OSError as error:
        raise DocumentError(f"{file} cannot be read: {error.strerror}") from None
    if len(raw) > LARGEST_FILE:
        raise DocumentError(f"{file} is larger than {LARGEST_FILE:,} bytes, which no API server takes: is this the document, or its data?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"{file}:{line} byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8") from None


def _check_depth(text: str) -> None:
    """Refuse what is nested so deeply that the composer, which calls itself for every level, would overflow the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=BaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} levels deep")


def _yaml_message(file: FilePath, text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place, line = (f"{file}:{mark.line + 1}", text.split("\n")[mark.line]) if mark else (str(file), "")
    tab = "\t" in line[: len(line) - len(line.lstrip())]
    remedy = "indent with spaces, not tabs" if tab else "look at the indentation, colons and quotes around this line"
    return f"{place} is not YAML: {error.problem or error.context}: {remedy}"


class _Loader(BaseLoader):
    """libyaml's composer, which tells unquoted scalars from quoted ones and leaves what they mean to `read_scalar`."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return PLAIN if implicit[0] else "tag:yaml.org,2002:str"
        return "tag:yaml.org,2002:seq" if kind is yaml.SequenceNode else "tag:yaml.org,2002:map"


@dataclass
class _Reading:
    """Turns the nodes of one document into plain data, and notes lines and problems on the way."""

    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    values: int = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise yaml.composer.ComposerError(None, None, "it has too many values, perhaps by aliases of aliases", node.start_mark)
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            try:
                return read_scalar(node.value, node.tag)
            except ValueError as error:
                self.problems.append(Problem(path, str(error), node.start_mark.line + 1))
                return None
        if id(node) in self.open:
            raise yaml.composer.ComposerError(None, None, "an anchor contains itself", node.start_mark)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value(part, (*path, number)) for number, part in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == PLAIN and key_node.value == "<<":
                merged = self._merged(value_node, path) | merged
                continue
            key = self._key(key_node)
            if key in mapping:
                first = self.lines.get((*path, key))
                self.problems.append(Problem((*path, key), f"is written twice, first in line {first}: remove one", line))
                continue
            self.lines[(*path, key)] = line
            mapping[key] = self.value(value_node, (*path, key))
        return merged | mapping

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        """Return what `<<` brings in; of several mappings the first counts."""
        parts = list(reversed(node.value)) if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            if not isinstance(part, yaml.MappingNode):
                raise yaml.composer.ComposerError(None, None, "<< takes a mapping or a list of mappings", part.start_mark)
            merged |= self.value(part, path)
        return merged

    def _key(self, node: yaml.Node) -> str:
        """Return a key as text, as in JSON: `1:` is "1" and `yes:` is "true"."""
        if isinstance(node, yaml.ScalarNode):
            key = read_scalar(node.value, node.tag)
            if isinstance(key, bool):
                return str(key).lower()
            if key is not None:
                return str(key)
        raise yaml.composer.ComposerError(None, None, "a key must be text: write it in quotes", node.start_mark)
