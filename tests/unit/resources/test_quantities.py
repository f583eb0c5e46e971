"""Quantities mean what Kubernetes means by them, and requests above limits are told before any work."""

from __future__ import annotations

from decimal import Decimal

import pytest

from autollm.plan.problems import document_problem
from autollm.resources import AutoLLMRun
from autollm.resources.quantities import Resources, contradiction, is_gpu, parse_quantity
from autollm.resources.workers import Workers
from support.documents import SHORTEST, changed


@pytest.mark.parametrize(
    ("text", "value"),
    [("4", 4), (4, 4), ("500m", "0.5"), ("1.5", "1.5"), ("2k", 2000), ("1Ki", 1024), ("16Gi", 16 << 30), ("3T", 3 * 10**12)],
)
def test_a_quantity_is_a_number_of_bytes_or_units(text: str | int, value: str | int) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "-1", "1e3", "16GB", "Gi", "1.2345", ".5", "1 Gi", "1Gi\n"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"requests": {"memory": "2Gi"}, "limits": {"memory": "1500M"}}, "requests[memory] is 2Gi, more than the limit of 1500M"),
        ({"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}, "raise the limit"),
        ({"limits": {"nvidia.com/gpu": "500m"}}, "write a whole number"),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "1024Mi", "nvidia.com/gpu": "2"}}, None),
        ({"requests": {"memory": "1Gi"}}, None),
        ({}, None),
    ],
)
def test_resources_that_contradict_each_other(resources: dict[str, dict[str, str | int]], words: str | None) -> None:
    told = contradiction(Resources.parse(resources))
    assert told is None if words is None else told is not None and words in told


def test_the_plan_says_so_with_the_field() -> None:
    limits = {"requests": {"cpu": 2}, "limits": {"cpu": 1}}
    problem = document_problem(AutoLLMRun.parse(changed(SHORTEST, {"spec.workers.evaluate.resources": limits})).spec)
    assert problem is not None
    assert (problem.reason, problem.message) == (
        "ContradictoryResources",
        "workers.evaluate.resources.requests[cpu] is 2, more than the limit of 1: raise the limit or lower the request.",
    )


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ("nvidia.com/gpu", True),
        ("amd.com/gpu", True),
        ("nvidia.com/gpu.shared", True),
        ("nvidia.com/mig-1g.10gb", True),
        ("gpu.intel.com/i915", True),
        ("cpu", False),
        ("memory", False),
        ("example.org/fpga", False),
    ],
)
def test_what_is_a_gpu(resource: str, *, told: bool) -> None:
    assert is_gpu(resource) is told


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        ({}, False),
        ({"train": {"nvidia.com/gpu": 2}}, True),
        ({"evaluate": {"nvidia.com/mig-1g.10gb": "1"}}, True),
        ({"train": {"nvidia.com/gpu": 0, "cpu": 4}}, False),
        ({"prepare": {"amd.com/gpu": 1}, "publish": {"amd.com/gpu": 1}}, False),
    ],
)
def test_a_run_computes_on_gpus_where_it_trains_or_scores_on_them(workers: dict[str, dict[str, str | int]], *, told: bool) -> None:
    asked = Workers.parse({kind: {"resources": {"limits": limits}} for kind, limits in workers.items()})
    assert asked.compute_on_gpus is told
