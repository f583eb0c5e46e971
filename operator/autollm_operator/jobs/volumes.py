"""The volumes of a pod: its task, room to write, and those that the document names, of kinds that give no access to the node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autollm.contract.pod import SCRATCH_FOLDER, TASK_ANNOTATION, TASK_FILE, TASK_FOLDER
from autollm.resources.environment import Volume
from autollm_operator.settings import WorkerDefaults

CA_FOLDER, CA_FILE = "/autollm/ca", "ca.crt"
TEMPORARY_FOLDER = "/tmp"  # noqa: S108  # a volume of the pod's own


@dataclass(frozen=True)
class Mounted:
    """A volume of a pod with its place in the container, both as Kubernetes spells them."""

    volume: dict[str, Any]
    mount: dict[str, Any]


def mounted_volumes(asked: list[Volume], defaults: WorkerDefaults, *, gpus: int) -> list[Mounted]:
    """Return all volumes of a pod."""
    return [*_own(defaults, gpus=gpus), *(_asked(volume) for volume in asked)]


def _own(defaults: WorkerDefaults, *, gpus: int) -> list[Mounted]:
    task = {"path": TASK_FILE.removeprefix(f"{TASK_FOLDER}/"), "fieldRef": {"fieldPath": f"metadata.annotations['{TASK_ANNOTATION}']"}}
    own = [
        _mounted("autollm-task", {"downwardAPI": {"items": [task]}}, TASK_FOLDER, read_only=True),
        _mounted("autollm-scratch", {"emptyDir": {}}, SCRATCH_FOLDER),
        _mounted("autollm-tmp", {"emptyDir": {}}, TEMPORARY_FOLDER),
    ]
    if gpus:
        # Processes that load data and GPUs of one pod share memory; the runtime's default of 64 MiB makes them fail.
        own.append(_mounted("autollm-shm", {"emptyDir": {"medium": "Memory"}}, "/dev/shm"))  # noqa: S108  # that is its place
    if (bundle := defaults.ca_bundle_config_map) is not None:
        own.append(
            _mounted("autollm-ca", {"configMap": {"name": bundle, "items": [{"key": CA_FILE, "path": CA_FILE}]}}, CA_FOLDER, read_only=True)
        )
    return own


def _asked(volume: Volume) -> Mounted:
    """Return a volume of the document: each kind is spelled out, so that a new field of a type cannot slip through."""
    source: dict[str, Any] = {}
    if volume.persistent_volume_claim is not None:
        source["persistentVolumeClaim"] = {"claimName": volume.persistent_volume_claim.claim_name}
    if volume.empty_dir is not None:
        empty = volume.empty_dir
        limit = {} if empty.size_limit is None else {"sizeLimit": str(empty.size_limit)}
        source["emptyDir"] = ({} if empty.medium is None else {"medium": empty.medium}) | limit
    if volume.config_map is not None:
        source["configMap"] = {"name": volume.config_map.name}
    if volume.secret is not None:
        source["secret"] = {"secretName": volume.secret.secret_name}
    return _mounted(volume.name, source, volume.mount_path, read_only=volume.read_only)


def _mounted(name: str, source: dict[str, Any], path: str, *, read_only: bool = False) -> Mounted:
    return Mounted({"name": name, **source}, {"name": name, "mountPath": path} | ({"readOnly": True} if read_only else {}))
