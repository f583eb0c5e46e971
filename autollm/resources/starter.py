"""The document that `autollm init` prints."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from autollm.resources.scalars import PLAIN, read_scalar

_EXAMPLES = ("data/math.jsonl", "data/code.jsonl")
_TEMPLATE = """\
# What AutoLLM is to do: train one small delta per source and method, search the weights that merge them best, publish what is
# provably better. `autollm validate` checks this file, `autollm run` runs it and goes on where it stopped.
# Every field: docs/reference.md. Fractions are written in quotes ("0.5").
apiVersion: autollm.dev/v1alpha1
kind: AutoLLMRun
metadata:
  name: {name}
spec:
  model:
    uri: {model}  # or file:///folder, s3://bucket/prefix
  artifacts:
    uri: {artifacts}  # where deltas, results and models go; or s3://bucket/prefix
  sources:  # JSONL, JSON, CSV or Parquet; the layout is found out by itself
{sources}
  data:
    split: {{search: "0.1", test: "0.1"}}  # shares held out: one steers the weights, one only reports
    maxTokens: 2048  # longer records are left out and counted
  training:
    adapter:
      lora: {{rank: 16, alpha: 32}}  # or full: {{}}
    methods:  # each is tried on every source that it fits
    - name: sft
      sft: {{learningRate: "2e-4", epochs: 1}}
    # - name: dpo  # for preferences: starts from the sft delta of the same source
    #   after: sft
    #   dpo: {{beta: "0.1"}}
  evaluation:
    metrics:  # what "better" means: their weighted mean, between 0 and 1
    - name: likelihood
      likelihood: {{}}
    # - name: answers  # compares generated answers with the references
    #   match: {{kind: Exact, maxTokens: 64}}
  search:
    trials: 30
    # space: {{min: 0, max: "1.5"}}
  baselines:
    trainOnAll: false  # true: also trains one delta on everything, to compare and to merge with
  publish:
    when: {{betterThan: published, confidence: "0.95"}}
"""


def starter_document(name: str, model: str, files: Sequence[str]) -> str:
    """Return a commented run document that names the files, or URIs, as its sources; it is valid where all that it is given is."""
    names: list[str] = []
    sources: list[str] = []
    for file in files or _EXAMPLES:
        names.append(_unused(_source_name(file), names))
        sources.append(f"  - name: {_quoted(names[-1])}\n    file: {{uri: {_quoted(_location(file))}}}")
    return _TEMPLATE.format(name=_quoted(name), model=_quoted(model), artifacts=_quoted(f"artifacts/{name}"), sources="\n".join(sources))


def _source_name(file: str) -> str:
    """Return a name for a file: its own, in small letters, without what is no letter or digit."""
    stem = PurePath(file).name.partition(".")[0]
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:34].strip("-")
    reserved = ("base", "all", "average", "auto", "published", "")
    return f"source-{name}".rstrip("-") if name in reserved else name


def _unused(name: str, names: Sequence[str]) -> str:
    """Return the name, with a number behind it where it is taken."""
    numbered = (f"{name}-{number}" for number in range(2, len(names) + 3))
    return name if name not in names else next(other for other in numbered if other not in names)


def _quoted(text: str) -> str:
    """Quote what YAML might read as anything but this text."""
    plain = re.fullmatch(r"[a-z0-9][-a-zA-Z0-9_./:@]*[a-zA-Z0-9]|[a-z]", text) and read_scalar(text, PLAIN) == text
    return text if plain else json.dumps(text, ensure_ascii=False)


def _location(file: str) -> str:
    """Return how a document names a file: as it is, or where that would look like a URI and is none, as one."""
    return PurePath(os.path.abspath(file)).as_uri() if ":" in file and "://" not in file else file  # noqa: PTH100  # PurePath does not ask the disk
