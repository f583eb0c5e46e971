"""Documents by hypothesis, drawn from a kind's JSON schema: mostly right, with wrong values, missing and unknown fields among them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from autollm.resources import patterns
from autollm.resources.validate import schema_of
from support.documents import EVERYTHING

Schema = Mapping[str, Any]

_BY_PATTERN: dict[str, st.SearchStrategy[Any]] = {
    patterns.DECIMAL: st.sampled_from(["0", "0.1", "0.5", "1", "2e-4", ".5", "-1", "1e1", "+3", 0, 1, 2, -10, "1.50", "0.95"]),
    patterns.DURATION: st.sampled_from(["90s", "30m", "1h30m", "0s"]),
    patterns.NAME: st.sampled_from(["math", "code", "sft", "dpo", "chat", "pool", "math-0001", "likelihood", "all", "a" * 40]),
    patterns.DELTA: st.sampled_from(["math/sft", "chat", "all"]),
    patterns.SELECTOR: st.sampled_from(["*", "*/dpo", "math/sft", "?hat"]),
    patterns.DIGEST: st.just("sha256:" + "0" * 64),
    patterns.URI: st.sampled_from(["hf://org/name", "hf://org/name@main", "file:///m", "m", "s3://bucket/m", "package://a.b/c"]),
    patterns.SOURCE_URI: st.sampled_from(["s3://data/x.jsonl", "x y.csv", "../x.jsonl", "/x"]),
    patterns.FOLDER_URI: st.sampled_from(["s3://models/x", "artifacts", "file:///artifacts"]),
    patterns.ENDPOINT: st.just("http://localhost:9000"),
    patterns.REGION: st.just("eu-central-1"),
    patterns.OBJECT_REFERENCE: st.just("a-secret"),
    patterns.HUB_REVISION: st.just("main"),
    patterns.REVISION: st.just("r6"),
    patterns.QUANTITY: st.sampled_from(["500m", "16Gi", "1.5", 0, 1, 4, 8, "128Gi", "2k", "0.5G", "999999999Ti", 999_999_999]),
    patterns.IMAGE: st.sampled_from(["busybox", "registry.example.org:5000/a/b:1.0", "r.example.org/a@sha256:" + "0" * 64]),
    patterns.ENVIRONMENT_NAME: st.sampled_from(["HF_HOME", "_x", "WANDB_API_KEY", "AWS_REGION", "AUTOLLM_X", "LD_PRELOAD", "PATH", "HOME"]),
    patterns.DATA_KEY: st.sampled_from(["key", "api.key", "_K-1"]),
    patterns.MOUNT_PATH: st.sampled_from(["/cache", "/data/x", "/mnt/.hidden", "/dev/shm", "/usr", "/scratch", "/home/a..b"]),
    patterns.LABEL_KEY: st.sampled_from(["gpu", "nvidia.com/gpu", "topology.kubernetes.io/zone"]),
    patterns.LABEL_VALUE: st.sampled_from(["", "h200", "a.b_c-D", "1"]),
    patterns.OBJECT_NAME: st.sampled_from(["worker", "a.b", "system-x", "autollm-worker"]),
}
_KEYS = {
    patterns.DELTA: ["math/sft", "code/sft", "math-0001/dpo", "chat", "all", "pool/sft", "maths/sft", "A/b"],
    patterns.LABEL_KEY: ["gpu", "topology.kubernetes.io/zone", "a b", "x/y/z"],
    "cpu": ["cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "amd.com/gpu", "gpu", "requests.nvidia.com/gpu"],
}
_WRONG = st.sampled_from([None, "", "x", "A B", "0.5\n", "é", 0, -1, 3, 1.5, 1e20, True, [], {}, [None], {"x": 1}, "a" * 2000])


_KNOWN: dict[int, st.SearchStrategy[Any]] = {}


def values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values for a place in a schema, which is kept for good; one in twenty is wrong on purpose."""
    if id(schema) not in _KNOWN:
        right = right_values(schema)  # made once: to make it takes longer than to draw from it
        _KNOWN[id(schema)] = st.integers(0, 19).flatmap(lambda dice: _WRONG if dice == 0 else right)
    return _KNOWN[id(schema)]


def right_values(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that mostly fit."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("pattern") in _BY_PATTERN:
        return _BY_PATTERN[schema["pattern"]]
    match schema.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            low = schema.get("minimum", 0)
            return st.integers(low, min(schema.get("maximum", low + 50), low + 50))
        case "array":
            return st.lists(st.deferred(lambda: values(schema["items"])), min_size=schema.get("minItems", 0), max_size=3)
        case "object" if "properties" in schema:
            return objects(schema)
        case "object":
            rules = " ".join(rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
            names = next((names for word, names in _KEYS.items() if word in rules), ["a", "b"])
            return st.dictionaries(st.sampled_from(names), values(schema["additionalProperties"]), min_size=1, max_size=3)
        case _:
            return st.text("ab1", min_size=1, max_size=8)


def objects(schema: Schema) -> st.SearchStrategy[Any]:
    """Objects with all their required fields, some of the others, and seldom one that is unknown."""
    required = schema.get("required", ())
    fields = {name: st.deferred(_later(part)) for name, part in schema["properties"].items()}
    known = st.fixed_dictionaries(
        {name: fields[name] for name in required}, optional={name: field for name, field in fields.items() if name not in required}
    )
    return st.integers(0, 39).flatmap(lambda dice: known.map(lambda value: {**value, "unknown": 1}) if dice == 0 else known)


def _later(schema: Schema) -> Callable[[], st.SearchStrategy[Any]]:
    return lambda: values(schema)


def run_documents() -> st.SearchStrategy[dict[str, Any]]:
    """The document with everything in it, with one to three of its parts drawn anew."""
    return altered(EVERYTHING)


@st.composite
def altered(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """A document of any kind, with one to three of its parts drawn anew."""
    document = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        place, part, key = document, schema_of(original["kind"])["properties"]["spec"], "spec"
        while (key == "spec" or draw(st.booleans())) and isinstance(place.get(key), dict) and part.get("properties"):
            inner = draw(st.sampled_from(sorted(part["properties"])))
            place, part, key = place[key], part["properties"][inner], inner
        place[key] = copy.deepcopy(draw(values(part)))
    return document


@st.composite
def worker_sections(draw: st.DrawFn) -> dict[str, Any]:
    """The `workers` of that document, with one to four of its fields drawn anew or taken away."""
    section: dict[str, Any] = copy.deepcopy(EVERYTHING["spec"]["workers"])
    fields = schema_of("AutoLLMRun")["properties"]["spec"]["properties"]["workers"]["properties"]
    for name in draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=4, unique=True)):
        if draw(st.booleans()):
            section.pop(name, None)
        else:
            section[name] = copy.deepcopy(draw(values(fields[name])))
    return section
