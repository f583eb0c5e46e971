"""What people and other programs do to a run's objects while it goes on."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cluster.connection import MERGE
from support.cluster_run import SPEC, ClusterRun
from support.scene import Scene

NEWER = {"fromTheFuture": "yes"}


def test_children_deleted_by_hand_are_made_again(scene: Scene) -> None:
    endless = {"train", "trial"}
    scene.pods.seconds = lambda what: 3600.0 if what in endless else 0.1
    run = scene.run
    run.apply()
    run.until(lambda: len(_at_work(run, "train", 1)) == 2, "not both are trained")
    endless.remove("train")
    for job in _at_work(run, "train", 1):
        _delete(run, run.batch(job))
    run.until(lambda: bool(_at_work(run, "evaluate", 2)), "there are not two evaluators")
    endless.remove("trial")
    _delete(run, run.batch(_at_work(run, "evaluate", 2)[0]))
    run.until(lambda: any("score" in trial.get("status", {}) for trial in run.children("mergetrials")), "no trial is scored")
    _delete(run, run.of("mergetrials", run.children("mergetrials")[0]["metadata"]["name"]))
    run.wait("Succeeded", "True", "Published")
    assert run.status()["trials"]["succeeded"] == 6


def test_a_job_of_the_same_name_that_is_not_ours_is_named_and_left_alone(scene: Scene) -> None:
    run = scene.run
    run.apply()
    run.until(lambda: bool(run.jobs("prepare")), "nothing is prepared")
    name = run.jobs("prepare")[0]["metadata"]["name"]
    scene.operator.kill()
    run.delete()
    run.until(lambda: not run.jobs(), "the Job is still there")
    container = {"name": "theirs", "image": "localhost/theirs:1"}
    pod = {"restartPolicy": "Never", "containers": [container]}
    theirs = run.cluster.create(
        run.batch(), {"kind": "Job", "metadata": {"name": name}, "spec": {"template": {"spec": pod}, "suspend": True}}
    )
    scene.operator.start()
    run.apply()
    run.wait("Stalled", "True", "NameTaken")
    assert name in run.message("Stalled")
    assert run.cluster.admin.expect("GET", run.batch(name))["metadata"]["uid"] == theirs["metadata"]["uid"]
    _delete(run, run.batch(name))
    run.wait("Succeeded", "True", "Published")


def test_a_job_that_somebody_labels_as_ours_changes_nothing(scene: Scene) -> None:
    run = scene.run
    labels = {"app.kubernetes.io/managed-by": "autollm", "autollm.dev/run": "demo", "autollm.dev/task": "evaluate"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "theirs", "image": "localhost/theirs:1"}]}
    theirs = {"kind": "Job", "metadata": {"name": "theirs", "labels": labels}, "spec": {"template": {"spec": pod}, "suspend": True}}
    run.cluster.create(run.batch(), theirs)
    run.apply()
    run.wait("Succeeded", "True", "Published")
    assert run.cluster.admin.ask("GET", run.batch("theirs")).status == 200


def test_a_run_deleted_in_the_middle_and_applied_again(scene: Scene) -> None:
    run = scene.run
    scene.pods.seconds = lambda what: 1.0 if what == "trial" else 0.1
    run.apply()
    run.until(lambda: len(scene.pods.evaluators("demo")) == 2, "there are not two evaluators")
    run.delete()
    run.apply()
    run.wait("Succeeded", "True", "Published")
    uid = run.cluster.admin.expect("GET", run.path)["metadata"]["uid"]
    run.until(lambda: all(_owner(child) == uid for child in run.children("mergetrials")), "children of the first one are left")
    assert run.status()["deltas"]["reused"] == 2


def test_a_deleted_run_takes_its_children_with_it_and_no_namespace_hangs(scene: Scene) -> None:
    run = scene.run
    run.apply()
    run.wait("Succeeded", "True", "Published")
    scene.operator.kill()
    run.delete()
    run.until(lambda: not run.children("deltatrainings") and not run.children("mergetrials") and not run.jobs(), "children are left")
    assert run.cluster.admin.ask("GET", run.path).status == 404


def test_suspend_stops_all_work_and_goes_on_where_it_was(scene: Scene) -> None:
    run = scene.run
    scene.pods.seconds = lambda what: 1.0 if what == "trial" else 0.1
    run.apply()
    run.until(lambda: any("score" in trial.get("status", {}) for trial in run.children("mergetrials")), "no trial is scored")
    run.change(suspend=True)
    run.wait("Reconciling", "False", "Suspended")
    run.until(lambda: not run.jobs("evaluate"), "evaluators are left")
    run.change(suspend=False)
    run.wait("Succeeded", "True", "Published")
    assert run.status()["trials"]["succeeded"] == 6
    assert max(Counter(scene.pods.done).values()) == 1


def test_parallelism_changes_while_it_runs(scene: Scene) -> None:
    run = scene.run
    scene.pods.seconds = lambda what: 0.8 if what == "trial" else 0.1
    run.apply(search={"trials": 24})
    run.until(lambda: len(scene.pods.evaluators("demo")) == 2, "there are not two evaluators")
    run.change(search={"parallelism": 4})
    run.until(lambda: len(scene.pods.evaluators("demo")) == 4, "there are not four evaluators")
    run.change(search={"parallelism": 1})
    run.until(lambda: len(scene.pods.evaluators("demo")) == 1, "there is more than one evaluator")
    run.wait("Succeeded", "True", "Published")
    assert run.status()["trials"]["succeeded"] == 24
    run.until(lambda: not run.jobs("evaluate"), "evaluators are left")


def test_a_new_source_trains_that_source_alone(scene: Scene) -> None:
    run = scene.run
    run.apply()
    run.wait("Succeeded", "True", "Published")
    before = len([task for task in scene.pods.done if "-train-" in task])
    sources = [{"name": name, "file": {"uri": f"s3://data/{name}.jsonl"}} for name in ("math", "code", "tone")]
    run.change(sources=sources)
    run.wait("Succeeded", "True")
    assert [before, len([task for task in scene.pods.done if "-train-" in task])] == [2, 3]
    assert run.status()["deltas"] == {"total": 3, "ready": 3, "reused": 0, "failed": 0}


def test_a_run_that_a_newer_version_stored_is_left_alone_and_others_go_on(scene: Scene) -> None:
    """Its CRD knows a field that this operator does not; that the field is pruned on the way would change the run."""
    run, other = scene.run, ClusterRun(scene.run.cluster, scene.run.namespace, "other")
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/autollmruns.autollm.dev"
    crd = run.cluster.admin.expect("GET", path)
    newer = run.cluster.admin.expect("GET", path)
    schema = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    schema["fromTheFuture"] = {"type": "string"}
    # A watch that began before goes on without the field.
    scene.operator.kill()
    _replace_crd(run, path, newer)
    try:
        run.until(lambda: _takes_the_field(run), "the API server does not know the field yet")
        run.apply(**NEWER)
        other.apply()
        scene.operator.start()
        run.wait("Stalled", "True", "NotReadable")
        other.wait("Succeeded", "True", "Published")
        assert not [job for job in run.jobs() if job["metadata"]["name"].startswith("demo-")]
    finally:
        run.delete()
        _replace_crd(run, path, crd)


def _takes_the_field(run: ClusterRun) -> bool:
    document = {"apiVersion": "autollm.dev/v1alpha1", "kind": "AutoLLMRun", "metadata": {"name": "tried"}, "spec": SPEC | NEWER}
    return "fromTheFuture" in run.cluster.admin.expect("POST", f"{run.of('autollmruns')}?dryRun=All", document)["spec"]


def _replace_crd(run: ClusterRun, path: str, document: dict[str, Any]) -> None:
    patch = {"spec": {"versions": document["spec"]["versions"]}}
    run.cluster.admin.expect("PATCH", path, patch, content_type=MERGE)


def _at_work(run: ClusterRun, task: str, pods: int) -> list[str]:
    """Return the Jobs of a kind of task whose pods the Job controller has seen.

    Of one that is deleted before, and made again at once, it goes on waiting for the old pod for five minutes.
    """
    return [job["metadata"]["name"] for job in run.jobs(task) if job.get("status", {}).get("ready") == pods]


def _delete(run: ClusterRun, path: str) -> None:
    run.cluster.admin.expect("DELETE", path, {"propagationPolicy": "Background"})


def _owner(child: dict[str, Any]) -> str:
    return str(child["metadata"]["ownerReferences"][0]["uid"])
