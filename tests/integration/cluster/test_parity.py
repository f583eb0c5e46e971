"""`autollm validate` and a real API server with strict field validation refuse the same documents, and blame the same fields."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from autollm.resources.delta_training import DeltaTraining
from autollm.resources.merge_trial import MergeTrial
from cluster.cluster import Cluster
from support.documents import BAD, EVERYTHING, GOOD, Bad, changed
from support.generated_documents import altered
from support.runs import make_run
from support.verdicts import Verdict, agree, of_server, of_validate, spelled
from support.world import World

SOAK = bool(os.environ.get("AUTOLLM_SOAK"))
GENERATED = {"AutoLLMRun": 10_000 if SOAK else 500, "DeltaTraining": 2_000 if SOAK else 60, "MergeTrial": 2_000 if SOAK else 60}


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_document_is_refused_for_the_same_field(cluster: Cluster, bad: Bad) -> None:
    server, validate = of_server(cluster.admin, "default", bad.document), of_validate(bad.document)
    assert server.refused
    assert agree(server, validate), _difference(bad.document, server, validate)
    if server.seen == "All":
        assert spelled(bad.field) in server.fields


@pytest.mark.parametrize("document", GOOD, ids=["shortest", "everything"])
def test_a_good_document_is_taken(cluster: Cluster, document: dict[str, Any]) -> None:
    server = of_server(cluster.admin, "default", changed(document, {"metadata.namespace": "default"}))
    assert not server.refused, server.text


@pytest.mark.parametrize("kind", GENERATED)
def test_generated_documents_meet_the_same_verdict(cluster: Cluster, kind: str) -> None:
    count = GENERATED[kind]
    documents = _generated(EVERYTHING if kind == "AutoLLMRun" else _child(kind), count)
    # Rules take tens of milliseconds in Python: on all cores, while the server is asked.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes, ThreadPoolExecutor(4) as threads:
        validate = processes.map(of_validate, documents, chunksize=25)
        server = threads.map(lambda document: of_server(cluster.admin, "default", document), documents)
        verdicts = list(zip(documents, server, validate, strict=True))
    different = [_difference(*each) for each in verdicts if not agree(each[1], each[2])]
    assert not different, f"{len(different)} of {len(documents)} differ:\n\n" + "\n\n".join(different[:5])
    refused = sum(server.refused for _, server, _ in verdicts)
    assert len(verdicts) == count
    some = count // 30  # how many there are moves with every string of the code, from which Hypothesis draws
    assert some < refused < count - some, f"good and bad ones are to be among them, not {refused} bad ones of {count}"


def _child(kind: str) -> dict[str, Any]:
    """A document of another kind, as a run makes it."""
    world = World(make_run())
    world.settle()
    child: DeltaTraining | MergeTrial = (
        next(iter(world.trainings.values())) if kind == "DeltaTraining" else next(iter(world.trials.values()))
    )
    return child.document() | {"metadata": {"name": child.metadata.name}, "status": {}}


def _generated(original: dict[str, Any], count: int) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = []

    @settings(max_examples=count, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(altered(original))
    def collect(document: dict[str, Any]) -> None:
        documents.append(changed(document, {"metadata.namespace": "default"}))

    collect()
    return documents


def _difference(document: dict[str, Any], server: Verdict, validate: Verdict) -> str:
    return (
        f"only the server: {sorted(server.fields - validate.fields)}, only validate: {sorted(validate.fields - server.fields)}\n"
        f"{server.text}\n{validate.text}\n{json.dumps(document)}"
    )
