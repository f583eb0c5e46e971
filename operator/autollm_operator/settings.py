"""What the operator is told when it starts: a YAML file that the chart writes, parsed once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, Field

from autollm.errors import DocumentError
from autollm.resources.model import Model
from autollm.resources.placement import LabelKey, LabelValue

_RESERVED = re.compile(r"^([-a-z0-9.]+\.)?(autollm\.dev|batch\.kubernetes\.io)/|^(app\.kubernetes\.io/managed-by|job-name|controller-uid)$")
"""What tells whose a pod is and what it does: to the operator, to the Job controller, to Services and NetworkPolicies."""


def _not_reserved(given: dict[str, str]) -> dict[str, str]:
    if reserved := [name for name in given if _RESERVED.search(name)]:
        raise ValueError(f"{', '.join(reserved)} may not be set: AutoLLM and Kubernetes tell pods apart by it; leave it out")
    return given


PodAnnotations = Annotated[dict[LabelKey, str], AfterValidator(_not_reserved)]
PodLabels = Annotated[dict[LabelKey, LabelValue], AfterValidator(_not_reserved)]


class WorkerDefaults(Model):
    """What pods get where a run says nothing."""

    image: str = Field(min_length=1, description="The runtime's image.")
    image_pull_policy: Annotated[str, Field(pattern="^(Always|IfNotPresent|Never)$")] = "IfNotPresent"
    image_pull_secrets: list[str] = []
    service_account_name: str = "autollm-worker"
    run_as_user: Annotated[int, Field(ge=1)] | None = Field(
        65532, description="The user and group of every pod, whatever the image says; null where the cluster gives them, as OpenShift does."
    )
    fs_group: Annotated[int, Field(ge=1)] | None = Field(
        65532, description="The group that may write to volumes; null where the cluster gives it."
    )
    pod_annotations: PodAnnotations = Field(
        {}, description="Of every pod, for what else works in the cluster: karpenter.sh/do-not-disrupt."
    )
    pod_labels: PodLabels = Field({}, description="Of every pod, likewise: sidecar.istio.io/inject.")
    env: dict[str, str] = Field({}, description="Proxies and the like, in every pod.")
    ca_bundle_config_map: str | None = Field(None, description="A ConfigMap with ca.crt in each namespace, trusted by every pod.")


class Allowed(Model):
    """What runs may ask for; an empty list allows the default alone, and a pattern may have * and ?."""

    images: list[str] = Field([], description="Patterns of images, such as registry.example.org/autollm-runtime@sha256:*.")
    service_accounts: list[str] = Field([], description="Patterns of ServiceAccounts.")


class Settings(Model):
    """The operator's settings."""

    namespaces: list[str] = Field([], description="Namespaces that are watched; empty: all of them.")
    workers: WorkerDefaults
    allowed: Allowed = Field(default_factory=Allowed)
    reconcilers: Annotated[int, Field(ge=1, le=64)] = 8
    resync_seconds: Annotated[int, Field(ge=10)] = 600
    suggestion_seconds: Annotated[float, Field(gt=0)] = 20.0
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    host: str = Field("", description="The address that metrics and probes are served on; empty: all.")
    lease: str | None = Field(
        None, description="NAMESPACE/NAME of the Lease that one of several replicas holds; absent: there is one replica."
    )


def read_settings(path: Path) -> Settings:
    """Read the settings; raises DocumentError where they cannot be read or say something unknown."""
    try:
        return Settings.parse(yaml.safe_load(path.read_text()))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DocumentError(f"the operator's settings {path} cannot be read: {error}") from error
