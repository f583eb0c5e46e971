"""Write everything that follows from the types: `python -m autollm.resources.generate`, and with `--check` only say what differs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from autollm.resources.crd import KINDS, custom_resource_definition
from autollm.resources.editor import editor_schema
from autollm.resources.reference import reference
from autollm.resources.rules import parsed_rules

ROOT = Path(__file__).parents[2]
LARGEST_CRD = 200_000
"""Bytes; `kubectl apply` keeps a copy of the document in an annotation, and those may hold 262,144."""

_HEADER = "# Generated from autollm/resources by: python -m autollm.resources.generate\n"


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each generated file, by its path in the repository, with its text."""
    schemas = [editor_schema(kind) for kind in KINDS]
    for kind, schema in zip(KINDS, schemas, strict=True):
        crd = _HEADER + _quoted_yaml(custom_resource_definition(kind))
        yield Path("crds", f"{kind.plural}.yaml"), crd
        yield Path("charts", "autollm", "files", "crds", f"{kind.plural}.yaml"), crd
        yield Path("autollm", "resources", "schema", f"{kind.name.lower()}.json"), json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
    yield Path("autollm", "resources", "schema", "rules.json"), json.dumps(parsed_rules(_rules(schemas)), ensure_ascii=False) + "\n"
    yield Path("docs", "reference.md"), reference(schemas)


def _rules(node: Any) -> list[str]:
    """Return every rule in a schema, or in a list of them, once."""
    found: dict[str, None] = {}
    if isinstance(node, dict):
        found |= dict.fromkeys(rule["rule"] for rule in node.get("x-kubernetes-validations", ()))
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found |= dict.fromkeys(_rules(inner))
    return list(found)


def drifted(root: Path = ROOT) -> list[Path]:
    """Return the generated files that differ from what the types say, or are missing."""
    return [path for path, text in generated() if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text]


class _Dumper(yaml.SafeDumper):
    """Quotes every string value, so that no reader takes one for a number; keys are names and stay bare."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        for key, _ in node.value:
            key.style = None
        return node

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(str, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"'))


def _quoted_yaml(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)


def main() -> int:
    """Write the files, or check them; the exit code is 1 where one differs."""
    parser = argparse.ArgumentParser(prog="python -m autollm.resources.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that differ")
    changed = drifted()
    if parser.parse_args().check:
        for path in changed:
            sys.stderr.write(f"{path} is not what the types say: run python -m autollm.resources.generate\n")
        return 1 if changed else 0
    for path, text in generated():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
