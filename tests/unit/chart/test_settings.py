"""The values arrive in the operator's settings, under the names that the operator reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from autollm.errors import DocumentError
from autollm_operator.settings import Settings, read_settings
from support.chart import of_kind, pod_templates, refusal, render

DIGEST = f"sha256:{'a' * 64}"


def text(values: dict[str, Any]) -> str:
    (settings,) = [one for one in of_kind(render(values), "ConfigMap") if "settings.yaml" in one["data"]]
    return str(settings["data"]["settings.yaml"])


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    def read(**values: Any) -> Settings:
        path = tmp_path / "settings.yaml"
        path.write_text(text(values))
        return read_settings(path)

    return read


def test_by_default_the_namespace_of_the_release_and_no_permission_beyond_the_defaults(settings: Any) -> None:
    read = settings()
    assert read.namespaces == ["team-a"]
    assert (read.workers.image, read.workers.service_account_name) == ("autollm-runtime:0.1.0", "autollm-worker")
    assert (read.allowed.images, read.allowed.service_accounts) == ([], [])
    assert (read.lease, read.workers.env, read.workers.ca_bundle_config_map) == (None, {}, None)


def test_every_setting_can_be_given_by_the_chart() -> None:
    everything = {
        "operator": {"replicas": 2},
        "workers": {"caBundle": {"configMap": "authorities"}},
    }
    written = yaml.safe_load(text(everything))
    fields = {field.alias or name for name, field in Settings.model_fields.items()}
    assert set(written) | {"host"} == fields  # in a pod all addresses are served
    for part, name in ((Settings.model_fields["workers"], "workers"), (Settings.model_fields["allowed"], "allowed")):
        model: Any = part.annotation
        assert set(written[name]) == {field.alias or name for name, field in model.model_fields.items()}


def test_lists_and_numbers_arrive(settings: Any) -> None:
    read = settings(
        namespaces=["team-b", "team-c"],
        operator={"reconcilers": 3, "resyncSeconds": 60, "suggestionSeconds": 2.5, "replicas": 2},
        allowed={"images": ["registry.example.org/*"], "serviceAccounts": ["train-*"]},
        workers={"imagePullSecrets": ["registry"], "env": {"HF_HUB_OFFLINE": "1"}},
    )
    assert read.namespaces == ["team-b", "team-c"]
    assert (read.reconcilers, read.resync_seconds, read.suggestion_seconds) == (3, 60, 2.5)
    assert read.lease == "team-a/autollm"
    assert (read.allowed.images, read.allowed.service_accounts) == (["registry.example.org/*"], ["train-*"])
    assert (read.workers.image_pull_secrets, read.workers.env) == (["registry"], {"HF_HUB_OFFLINE": "1"})


def test_cluster_wide_is_no_list_of_namespaces(settings: Any) -> None:
    assert settings(clusterWide=True, namespaces=["team-b"]).namespaces == []


def test_a_cluster_may_choose_the_user_of_workers(settings: Any) -> None:
    read = settings(workers={"user": None, "fsGroup": None})
    assert (read.workers.run_as_user, read.workers.fs_group) == (None, None)
    assert settings().workers.run_as_user == 65532


def test_a_digest_beats_a_tag_and_a_registry_stands_in_front(settings: Any) -> None:
    image = {"repository": "ml/autollm", "tag": "1", "digest": DIGEST}
    values = {"imageRegistry": "registry.example.org/", "workers": {"image": image}, "operator": {"image": {"tag": "2"}}}
    assert settings(**values).workers.image == f"registry.example.org/ml/autollm@{DIGEST}"
    (pod,) = pod_templates(render(values))
    assert pod["containers"][0]["image"] == "registry.example.org/autollm-operator:2"


def test_proxies_leave_out_the_api_server_and_the_cluster(settings: Any) -> None:
    env = settings(workers={"proxy": {"https": "http://proxy:3128", "noProxy": ["s3.example.org"]}, "env": {"A": "b"}}).workers.env
    past = "$(KUBERNETES_SERVICE_HOST),localhost,127.0.0.1,.svc,.cluster.local,s3.example.org"
    proxy = {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": past}
    assert env == {"A": "b"} | proxy | {name.lower(): value for name, value in proxy.items()}


def test_authorities_become_a_config_map_in_every_namespace(settings: Any) -> None:
    pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    values = {"namespaces": ["team-b", "team-c"], "workers": {"caBundle": {"certificates": pem}}}
    name = settings(**values).workers.ca_bundle_config_map
    maps = of_kind(render(values), "ConfigMap", name)
    assert [(one["metadata"]["namespace"], one["data"]) for one in maps] == [("team-b", {"ca.crt": pem}), ("team-c", {"ca.crt": pem})]
    assert settings(workers={"caBundle": {"configMap": "mine"}}).workers.ca_bundle_config_map == "mine"


def test_what_autoscalers_and_meshes_read_arrives(settings: Any) -> None:
    given = {"podAnnotations": {"karpenter.sh/do-not-disrupt": "true"}, "podLabels": {"sidecar.istio.io/inject": "false", "team": ""}}
    read = settings(workers=given).workers
    assert (read.pod_annotations, read.pod_labels) == (given["podAnnotations"], given["podLabels"])


@pytest.mark.parametrize("name", ["autollm.dev/run", "autollm.dev/task", "app.kubernetes.io/managed-by", "job-name", "controller-uid"])
@pytest.mark.parametrize("which", ["podAnnotations", "podLabels"])
def test_what_tells_whose_a_pod_is_can_be_given_by_nobody(tmp_path: Path, which: str, name: str) -> None:
    said = f"{name} may not be set: AutoLLM and Kubernetes tell pods apart by it"
    assert f"workers.{which}: {said}" in refusal({"workers": {which: {name: "x"}}})
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"workers": {"image": "i", which: {"team": "a", name: "x"}}}))
    with pytest.raises(DocumentError, match=rf"(?s)workers\.{which}.*{said}"):
        read_settings(tmp_path / "settings.yaml")


@pytest.mark.parametrize(
    "workers",
    [{"podLabels": {"team": "a b"}}, {"podLabels": {"team": "a" * 64}}, {"podLabels": {"a b": "c"}}, {"podAnnotations": {"a b": "c"}}],
    ids=["value", "long value", "name", "name of an annotation"],
)
def test_what_no_pod_can_have_is_refused_before_one_is_made(tmp_path: Path, workers: dict[str, Any]) -> None:
    (which,) = workers
    assert f"/workers/{which}" in refusal({"workers": workers}) or "invalid propertyName 'a b'" in refusal({"workers": workers})
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"workers": {"image": "i", **workers}}))
    with pytest.raises(DocumentError, match=f"workers.{which}"):
        read_settings(tmp_path / "settings.yaml")


def test_changed_settings_start_the_operator_anew() -> None:
    def checksum(values: dict[str, Any]) -> str:
        (deployment,) = of_kind(render(values), "Deployment")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["autollm.dev/settings-checksum"])

    assert checksum({}) == checksum({"operator": {"priorityClassName": "high"}})
    assert checksum({}) != checksum({"allowed": {"images": ["*"]}})
