"""The cluster and the namespace that the commands take are kubectl's, and always of one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.config import incluster_config

from autollm.errors import DocumentError
from autollm_operator.api.login import configuration
from autollm_operator.api.port import ApiError
from autollm_operator.commands import access
from autollm_operator.commands.access import find_access

SERVERS = {"here": "https://here.example.org", "there": "https://there.example.org"}
POD_SERVER = "https://10.0.0.1:443"


def kubeconfig(path: Path, current: str | None, contexts: dict[str, str | None]) -> Path:
    """Write a kubeconfig with a context, a cluster and a user for each name, and the context's namespace."""
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": SERVERS[name]}} for name in contexts],
        "users": [{"name": name, "user": {"token": f"token-of-{name}"}} for name in contexts],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name} | ({} if namespace is None else {"namespace": namespace})}
            for name, namespace in contexts.items()
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document | ({} if current is None else {"current-context": current})))
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without kubeconfig, outside a cluster."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod in the namespace `ci`."""
    account = {"token": "token-of-the-pod", "ca.crt": "a certificate", "namespace": "ci\n"}
    for name, text in account.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(access, "_OWN_NAMESPACE", tmp_path / "namespace")


def found(context: str | None = None) -> tuple[str, str]:
    """The server and the namespace, whose token must be the same place's."""
    taken = find_access(context)
    host, (token,) = taken.settings.host, taken.settings.api_key.values()
    owner = next((name for name, server in SERVERS.items() if server == host), "the-pod")
    assert token.lower() == f"bearer token-of-{owner}"
    return host, taken.namespace


@pytest.mark.usefixtures("pod")
def test_in_a_pod_a_kubeconfig_says_the_cluster_and_the_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "given", "there", {"there": "team-a"})))
    assert found() == (SERVERS["there"], "team-a")
    assert configuration().host == POD_SERVER, "the operator is always the pod's"


@pytest.mark.usefixtures("pod")
def test_in_a_pod_the_usual_kubeconfig_counts_too(home: Path) -> None:
    kubeconfig(home / ".kube" / "config", "there", {"there": None})
    assert found() == (SERVERS["there"], "default")


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("named", [None, "", "/nowhere/config", "/dev/null"])
def test_in_a_pod_without_one_the_pod_says_both(monkeypatch: pytest.MonkeyPatch, named: str | None) -> None:
    if named is not None:
        monkeypatch.setenv("KUBECONFIG", named)
    assert found() == (POD_SERVER, "ci")
    monkeypatch.setenv("POD_NAMESPACE", "told")
    assert found() == (POD_SERVER, "told")


@pytest.mark.usefixtures("pod")
def test_in_a_pod_a_kubeconfig_without_a_context_in_use_says_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "given", None, {"there": "team-a"})))
    assert found() == (POD_SERVER, "ci")
    assert found("there") == (SERVERS["there"], "team-a")


def test_of_several_files_the_first_that_names_a_context_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        kubeconfig(tmp_path / "first", None, {}),
        kubeconfig(tmp_path / "second", "here", {"here": "team-a"}),
        tmp_path / "not-there",
        kubeconfig(tmp_path / "third", "there", {"there": "team-b", "here": "team-c"}),
    ]
    monkeypatch.setenv("KUBECONFIG", ":".join(map(str, files)))
    assert found() == (SERVERS["here"], "team-a")
    assert found("there") == (SERVERS["there"], "team-b")


def test_a_context_that_no_kubeconfig_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "given", "here", {"there": None, "here": None})))
    with pytest.raises(DocumentError, match="--context prod: the kubeconfig has here, there"):
        find_access("prod")


def test_outside_a_cluster_and_without_kubeconfig_there_is_nothing_to_speak_to() -> None:
    with pytest.raises(ApiError, match="set KUBECONFIG"):
        find_access(None)


def test_a_kubeconfig_that_cannot_be_read_is_named_and_not_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "given"
    monkeypatch.setenv("KUBECONFIG", str(path))
    path.write_text("token: [secret-words")
    with pytest.raises(ApiError) as unreadable:
        configuration()
    assert "secret-words" not in str(unreadable.value)
    for damaged in ("token: [secret-words", "- secret-words", "contexts: [{name: secret-words}]"):
        path.write_text(damaged)
        with pytest.raises(ApiError, match="given cannot be read") as refused:
            find_access(None)
        assert "secret-words" not in str(refused.value)
