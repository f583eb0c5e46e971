"""Jobs by kubernetes.md's rules: what every one has, and what each field of `workers` comes to."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.contract.exit_codes import ExitCode
from autollm.contract.pod import TASK_ANNOTATION, unpack_task
from autollm.contract.tasks import TASK, AnyTask, TrainTask
from autollm.errors import InputError
from autollm.resources.workers import Workers
from autollm_operator.cache.jobs import job_view
from autollm_operator.cache.views import JobView
from autollm_operator.jobs import pod
from autollm_operator.jobs.build import build_evaluators, build_job, resize_patch
from autollm_operator.jobs.service import build_service
from autollm_operator.jobs.ttl_after_finished import ttl_patch
from autollm_operator.settings import Settings
from support.documents import EVERYTHING
from support.job_tasks import OWNER, RUN, SETTINGS, evaluate_task, every_task, train_task

TASKS = every_task()
ALL = Workers.parse(EVERYTHING["spec"]["workers"])


def job(task: AnyTask, workers: dict[str, Any] | None = None, settings: Settings = SETTINGS) -> dict[str, Any]:
    asked = Workers.parse(workers or {})
    return build_job(task, workers=asked, owner=OWNER, namespace="team-a", generation=3, settings=settings)


def evaluators(size: int, workers: dict[str, Any] | None = None) -> dict[str, Any]:
    asked = Workers.parse(workers or {})
    return build_evaluators(evaluate_task(), size, workers=asked, owner=OWNER, namespace="team-a", generation=3, settings=SETTINGS)


def created(document: dict[str, Any]) -> JobView:
    return job_view(document | {"metadata": document["metadata"] | {"uid": "job-uid", "resourceVersion": "1"}})


def pod_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["template"]["spec"]
    return found


def container(document: dict[str, Any]) -> dict[str, Any]:
    (one,) = pod_of(document)["containers"]
    found: dict[str, Any] = one
    return found


def variables(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in container(document)["env"]}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_job_is_named_after_its_task_and_owned_by_what_it_works_for(task: AnyTask) -> None:
    metadata = job(task)["metadata"]
    assert (metadata["name"], metadata["namespace"]) == (task.id, "team-a")
    (owner,) = metadata["ownerReferences"]
    assert (owner["uid"], owner["kind"], owner["controller"]) == (OWNER.uid, "AutoLLMRun", True)
    assert metadata["labels"] == {
        "app.kubernetes.io/managed-by": "autollm",
        "autollm.dev/run": RUN,
        "autollm.dev/task": task.kind.lower(),
        "autollm.dev/generation": "3",
    }


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_pod_finds_its_task_as_the_planner_wrote_it(task: AnyTask) -> None:
    template = job(task)["spec"]["template"]
    assert TASK.validate_json(unpack_task(template["metadata"]["annotations"][TASK_ANNOTATION])) == task
    volume = next(one for one in template["spec"]["volumes"] if one["name"] == "autollm-task")
    (item,) = volume["downwardAPI"]["items"]
    assert item == {"path": "task", "fieldRef": {"fieldPath": "metadata.annotations['autollm.dev/task']"}}
    command = template["spec"]["containers"][0]["command"]
    assert command[:4] == ["autollm-runtime", "publish" if task.kind == "Pin" else task.kind.lower(), "--task", "/autollm/task/task"]
    assert command[4:] == ["--namespace", "$(AUTOLLM_NAMESPACE)", "--termination", "/dev/termination-log", "--scratch", "/scratch"]


def test_a_task_that_no_annotation_can_carry_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod, "LARGEST_TASK", 100)
    with pytest.raises(InputError, match="larger chunks") as error:
        job(TASKS["Prepare"])
    assert error.value.reason == "TaskTooLarge"


def test_a_training_that_somebody_made_by_hand_may_have_a_wrong_address_and_is_not_tried_for_ever() -> None:
    by_hand = TASKS["Train"].model_copy(update={"run": "chat", "training": "chat"})
    assert job(by_hand)["spec"]["podFailurePolicy"]["rules"][2]["onExitCodes"]["values"] == [ExitCode.STOPPED]


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_retries_are_by_cause(task: AnyTask) -> None:
    spec = job(task)["spec"]
    assert pod_of(job(task))["restartPolicy"] == "Never"
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (3, "Failed")
    never, disrupted, free = spec["podFailurePolicy"]["rules"]
    assert never["action"] == "FailJob"
    assert never["onExitCodes"] == {
        "containerName": container(job(task))["name"],
        "operator": "In",
        "values": [ExitCode.USAGE, ExitCode.BAD_INPUT, ExitCode.OUT_OF_GPU_MEMORY],
    }
    assert disrupted == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    away = [] if task.kind in ("Prepare", "Pin") else [ExitCode.UNAVAILABLE]
    assert (free["action"], free["onExitCodes"]["values"]) == ("Ignore", [*away, ExitCode.STOPPED])
    assert "suspend" not in spec, "suspending is Kueue's"
    assert "ttlSecondsAfterFinished" not in spec, "the report has to be safe first"


@pytest.mark.parametrize(("kind", "seconds", "grace"), [("Prepare", 86400, 120), ("Train", 604800, 600), ("Evaluate", 604800, 120)])
def test_every_job_has_a_deadline_and_a_grace_longer_than_a_checkpoint(kind: str, seconds: int, grace: int) -> None:
    document = job(TASKS[kind])
    assert document["spec"]["activeDeadlineSeconds"] == seconds
    assert pod_of(document)["terminationGracePeriodSeconds"] == grace


def test_deadline_retries_and_time_to_live_are_the_documents() -> None:
    workers = {"prepare": {"deadline": "1h30m", "retries": 0}, "ttlAfterFinished": "90s"}
    spec = job(TASKS["Prepare"], workers)["spec"]
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (5400, 0)
    assert ttl_patch(Workers.parse(workers)) == {"spec": {"ttlSecondsAfterFinished": 90}}


def test_the_evaluators_are_one_job_with_a_slot_for_each_index_and_retries_for_each_slot() -> None:
    spec = evaluators(4, {"evaluate": {"retries": 2}})["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (2, 0)
    assert "backoffLimit" not in spec
    assert resize_patch(6) == {"spec": {"completions": 6, "parallelism": 6}}


def test_pods_are_restricted_and_write_only_where_they_may() -> None:
    document = job(TASKS["Train"])
    spec = pod_of(document)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
    }
    assert container(document)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }
    assert spec["enableServiceLinks"] is False
    assert {mount["mountPath"] for mount in container(document)["volumeMounts"]} == {"/autollm/task", "/scratch", "/tmp"}


def test_where_the_cluster_gives_users_none_is_asked_for() -> None:
    settings = Settings.parse({"workers": {"image": "i", "runAsUser": None, "fsGroup": None}})
    context = pod_of(job(TASKS["Train"], settings=settings))["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize(
    ("kind", "secrets"),
    [
        ("Prepare", {"s3-credentials", "hub-token"}),
        ("Train", {"s3-credentials", "hub-token"}),
        ("Evaluate", {"s3-credentials", "hub-token"}),
        ("Publish", {"s3-credentials", "hub-token"}),
        ("Pin", {"s3-credentials"}),
    ],
)
def test_secrets_are_named_and_never_read(kind: str, secrets: set[str]) -> None:
    found = variables(job(TASKS[kind]))
    references = {name: one["valueFrom"]["secretKeyRef"] for name, one in found.items() if "secretKeyRef" in one.get("valueFrom", {})}
    assert {reference["name"] for reference in references.values()} == secrets
    assert {name: reference["key"] for name, reference in references.items()} == {name: name for name in references}
    assert [name for name, reference in references.items() if reference.get("optional")] == ["AWS_SESSION_TOKEN"]


def test_without_secrets_the_pods_identity_is_used() -> None:
    tasks = every_task(artifacts={"uri": "s3://models/demo"}, model={"uri": "hf://org/open"})
    assert not {"AWS_ACCESS_KEY_ID", "HF_TOKEN"} & variables(job(tasks["Train"])).keys()


def test_of_one_variable_the_document_counts_more_than_the_settings_and_the_workers_own_most() -> None:
    settings = Settings.parse({"workers": {"image": "i", "env": {"HTTPS_PROXY": "http://proxy:3128", "HF_HUB_OFFLINE": "0"}}})
    env = [{"name": name, "value": "mine"} for name in ("HF_HOME", "HF_HUB_OFFLINE", "HOME")]
    env += [{"name": "AWS_ACCESS_KEY_ID", "value": "mine"}, {"name": "AUTOLLM_NAMESPACE", "value": "team-b"}]
    found = variables(job(TASKS["Train"], {"env": env}, settings))
    assert {name: found[name].get("value") for name in ("HF_HOME", "HF_HUB_OFFLINE", "HOME", "HTTPS_PROXY", "TMPDIR")} == {
        "HF_HOME": "mine",
        "HF_HUB_OFFLINE": "mine",
        "HOME": "mine",
        "HTTPS_PROXY": "http://proxy:3128",
        "TMPDIR": "/tmp",
    }
    assert found["AWS_ACCESS_KEY_ID"]["valueFrom"]["secretKeyRef"]["name"] == "s3-credentials"
    assert found["AUTOLLM_NAMESPACE"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    assert found["AUTOLLM_OWNER_UID"]["value"] == OWNER.uid


def test_work_that_has_begun_waits_for_its_store_as_long_as_the_settings_say() -> None:
    told = {kind: variables(job(task)).get("AWS_MAX_ATTEMPTS", {}).get("value") for kind, task in TASKS.items()}
    assert told == dict.fromkeys(TASKS, "20") | {"Prepare": None}
    settings = Settings.parse({"workers": {"image": "i", "env": {"AWS_MAX_ATTEMPTS": "60"}}})
    assert variables(job(TASKS["Train"], None, settings))["AWS_MAX_ATTEMPTS"]["value"] == "60"


def test_pods_have_what_the_settings_give_every_one_and_stay_their_runs() -> None:
    given = {"podAnnotations": {"karpenter.sh/do-not-disrupt": "true"}, "podLabels": {"sidecar.istio.io/inject": "false"}}
    plain, document = job(TASKS["Train"]), job(TASKS["Train"], settings=Settings.parse({"workers": {"image": "i", **given}}))
    before, after = plain["spec"]["template"]["metadata"], document["spec"]["template"]["metadata"]
    assert after["annotations"] == before["annotations"] | given["podAnnotations"]
    assert after["labels"] == before["labels"] | given["podLabels"]
    assert document["metadata"]["labels"] == plain["metadata"]["labels"], "of pods, not of Jobs"


def test_of_one_label_or_annotation_the_operators_own_counts() -> None:
    taken = {"pod_labels": {"autollm.dev/run": "another", "app.kubernetes.io/managed-by": "x"}, "pod_annotations": {TASK_ANNOTATION: "x"}}
    settings = SETTINGS.model_copy(update={"workers": SETTINGS.workers.model_copy(update=taken)})  # as if nothing had refused them
    assert job(TASKS["Train"], settings=settings)["spec"]["template"]["metadata"] == job(TASKS["Train"])["spec"]["template"]["metadata"]


def test_a_bundle_of_certificates_is_mounted_and_told_to_every_library() -> None:
    document = job(TASKS["Train"], settings=Settings.parse({"workers": {"image": "i", "caBundleConfigMap": "company-ca"}}))
    volume = next(one for one in pod_of(document)["volumes"] if one["name"] == "autollm-ca")
    assert volume["configMap"] == {"name": "company-ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    told = {name for name, one in variables(document).items() if one.get("value") == "/autollm/ca/ca.crt"}
    assert told == {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE"}


def test_everything_that_the_document_asks_for_is_there() -> None:
    document = build_job(TASKS["Train"], workers=ALL, owner=OWNER, namespace="team-a", generation=1, settings=SETTINGS)
    spec = pod_of(document)
    assert document["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu-team-a"
    assert container(document)["image"] == EVERYTHING["spec"]["workers"]["image"]
    assert (spec["priorityClassName"], spec["runtimeClassName"], spec["serviceAccountName"]) == ("batch", "nvidia", "autollm-worker")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["nodeSelector"] == {"gpu": "h200", "topology.kubernetes.io/zone": "a"}
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "gpu.example.org/memory", "operator": "In", "values": ["80G", "141G"]},
        {"key": "spot", "operator": "DoesNotExist"},
    ]
    assert spec["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists"},
        {"key": "team", "operator": "Equal", "value": "a", "effect": "NoExecute", "tolerationSeconds": 60},
    ]
    assert container(document)["resources"] == {"limits": {"nvidia.com/gpu": "2", "memory": "128Gi"}}
    found = variables(document)
    assert (found["HF_HOME"], found["WANDB_API_KEY"]) == (
        {"name": "HF_HOME", "value": "/cache"},
        {"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": {"name": "wandb", "key": "api.key"}}},
    )
    volumes = {one["name"]: one for one in spec["volumes"]}
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "hf-cache"}
    assert volumes["fast"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert (volumes["settings"]["configMap"], volumes["keys"]["secret"]) == ({"name": "settings"}, {"secretName": "keys"})
    mounts = {one["name"]: one for one in container(document)["volumeMounts"]}
    assert mounts["keys"] == {"name": "keys", "mountPath": "/home/.keys", "readOnly": True}


def test_gpus_share_memory_within_the_pod() -> None:
    plain, with_gpu = job(TASKS["Evaluate"]), job(TASKS["Evaluate"], {"evaluate": {"resources": {"limits": {"nvidia.com/gpu": 1}}}})
    assert not any(volume["name"] == "autollm-shm" for volume in pod_of(plain)["volumes"])
    assert {"name": "autollm-shm", "emptyDir": {"medium": "Memory"}} in pod_of(with_gpu)["volumes"]
    assert {"name": "autollm-shm", "mountPath": "/dev/shm"} in container(with_gpu)["volumeMounts"]


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ({"nvidia.com/gpu": 2}, "2"),
        ({"amd.com/gpu": "1", "cpu": 4}, "1"),
        ({"nvidia.com/mig-1g.10gb": 2}, "1"),  # CUDA shows a process one part of a GPU, however many there are
        ({"gpu.intel.com/i915": 1}, "1"),
    ],
)
def test_those_who_compute_are_told_how_many_gpus_they_hold(limits: dict[str, Any], count: str) -> None:
    asked = {"resources": {"limits": limits}}
    for kind in ("Train", "Evaluate"):
        assert variables(job(TASKS[kind], {kind.lower(): asked}))["AUTOLLM_GPUS"]["value"] == count
    for kind in ("Prepare", "Publish"):
        assert "AUTOLLM_GPUS" not in variables(job(TASKS[kind], {kind.lower(): asked})), "it uses none"
    assert "AUTOLLM_GPUS" not in variables(job(TASKS["Train"], {"evaluate": asked, "train": {"resources": {"limits": {"cpu": 4}}}}))


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"cpu": 4}, ["--threads", "4"]),
        ({"cpu": "500m"}, ["--threads", "1"]),
        ({"cpu": 8, "nvidia.com/gpu": 4}, ["--threads", "2"]),
        ({}, []),
    ],
)
def test_a_worker_computes_with_as_many_threads_as_its_limit_has_cores(limits: dict[str, Any], told: list[str]) -> None:
    command = container(job(TASKS["Train"], {"train": {"resources": {"limits": limits}}}))["command"]
    assert command[command.index("/scratch") + 1 :] == told


def test_several_gpus_of_a_pod_are_used_by_torchrun() -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    command = container(job(TASKS["Train"], {"train": limits}))["command"]
    assert command[:6] == ["python", "-m", "autollm_runtime.worker.torchrun", "--standalone", "--nproc-per-node=2", "--"]
    assert command[6:8] == ["autollm-runtime", "train"]
    assert container(job(TASKS["Evaluate"], {"evaluate": limits}))["command"][0] == "autollm-runtime"


def test_several_nodes_are_an_indexed_job_that_meets_at_its_first_pod() -> None:
    workers = {"train": {"nodes": 3, "retries": 2, "deadline": "20h", "resources": {"limits": {"nvidia.com/gpu": 8}}}}
    task = train_task()
    document = job(task, workers)
    service = build_service(created(document), RUN)
    spec = document["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"]) == ("Indexed", 3, 3, 6)
    assert pod_of(document)["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": task.id}
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    assert [owner["uid"] for owner in service["metadata"]["ownerReferences"]] == ["job-uid"]
    command = container(document)["command"]
    assert {"--nnodes=3", "--node-rank=$(JOB_COMPLETION_INDEX)", "--nproc-per-node=8"} <= set(command)
    assert f"--master-addr={task.id}-0.{service['metadata']['name']}" in command
    assert f"--rdzv-conf=timeout={20 * 3600}" in command  # not the quarter of an hour for which torchrun would wait for the others
    assert job(TASKS["Prepare"], workers)["spec"].get("completionMode") is None


@pytest.mark.parametrize("run", ["r" * 40, "0"])
def test_the_service_of_several_nodes_has_a_name_that_kubernetes_takes(run: str) -> None:
    task = train_task()
    named = TrainTask(id=f"{run}-{'x' * (62 - len(run))}", run=run, training=task.training, spec=task.spec)
    name = build_service(created(job(named)), run)["metadata"]["name"]
    assert name[0].isalpha()
    assert len(name) <= 63
