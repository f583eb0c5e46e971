"""What tells a Job that was made with other workers than are asked for now."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.resources.workers import Workers
from autollm_operator.jobs.made_with import made_with
from autollm_operator.settings import WorkerDefaults

DEFAULTS = {"image": "registry.test:5000/autollm-runtime:1"}


def digest(workers: dict[str, Any], section: str = "train", **settings: Any) -> str:
    return made_with(section, Workers.parse(workers), WorkerDefaults.parse(DEFAULTS | settings))


@pytest.mark.parametrize(
    "workers",
    [
        {"image": "registry.test/other:1"},
        {"nodeSelector": {"gpu": "h200"}},
        {"queueName": "gpus"},
        {"env": [{"name": "A", "value": "b"}]},
        {"train": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
        {"train": {"nodes": 2}},
        {"train": {"deadline": "1h"}},
    ],
)
def test_what_pods_are_asked_to_be_counts(workers: dict[str, Any]) -> None:
    assert digest(workers) != digest({})


@pytest.mark.parametrize(
    "workers",
    [
        {"evaluate": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
        {"ttlAfterFinished": "2h"},
        {"train": {"retries": 3, "nodes": 1}},
    ],
    ids=["of-others", "how-long-jobs-stay", "defaults-written-out"],
)
def test_what_makes_no_difference_to_its_pods_does_not(workers: dict[str, Any]) -> None:
    assert digest(workers) == digest({})


@pytest.mark.parametrize("image", ["registry.test:5000/autollm-runtime:2", f"registry.test:5000/autollm-runtime@sha256:{'0' * 64}"])
def test_another_version_of_the_settings_image_does_not(image: str) -> None:
    assert digest({}, image=image) == digest({})


@pytest.mark.parametrize(
    "settings",
    [
        {"image": "registry.test/autollm-runtime:1"},
        {"image_pull_secrets": ["pull"]},
        {"service_account_name": "other"},
        {"fs_group": None},
        {"pod_annotations": {"karpenter.sh/do-not-disrupt": "true"}},
    ],
)
def test_what_else_the_settings_say_counts(settings: dict[str, Any]) -> None:
    assert digest({}, **settings) != digest({})


def test_an_image_of_the_documents_own_makes_the_settings_one_count_for_nothing() -> None:
    mine = {"image": "registry.test/mine:1"}
    assert digest(mine) == digest(mine, image="elsewhere.test/autollm-runtime:1")
