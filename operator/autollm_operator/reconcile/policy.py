"""What runs may ask for in this cluster: images and ServiceAccounts that the operator's settings allow, and places that pods can reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from autollm.plan.problems import Problem
from autollm.resources.delta_training import DeltaTrainingSpec
from autollm.resources.run import RunSpec
from autollm.resources.workers import Workers
from autollm_operator.settings import Settings


def refused_run(spec: RunSpec, settings: Settings) -> Problem | None:
    """Return why a run cannot be carried out in this cluster, or None where it can."""
    return refused_workers(spec.workers, settings, "spec.workers") or next(_unreachable(_places(spec), spec.workers), None)


def refused_workers(workers: Workers, settings: Settings, where: str) -> Problem | None:
    """Return which image or ServiceAccount the operator's settings do not allow, or None."""
    defaults, allowed = settings.workers, settings.allowed
    image, account = workers.image, workers.service_account_name
    if image is not None and image != defaults.image and not _matches(image, allowed.images):
        message = f"{where}.image: {image} is not allowed by the operator's settings (allowed.images); {_right(allowed.images, 'image')}."
        return Problem("ImageNotAllowed", message)
    if account is not None and account != defaults.service_account_name and not _matches(account, allowed.service_accounts):
        right = _right(allowed.service_accounts, "ServiceAccount")
        message = f"{where}.serviceAccountName: {account} is not allowed by the operator's settings (allowed.serviceAccounts); {right}."
        return Problem("ServiceAccountNotAllowed", message)
    return None


def refused_training(spec: DeltaTrainingSpec, settings: Settings) -> Problem | None:
    """Return why a training that somebody made by hand cannot be carried out in this cluster, or None where it can."""
    places = iter([("spec.model.uri", spec.model.uri), ("spec.artifacts.uri", spec.artifacts.uri)])
    return refused_workers(spec.workers, settings, "spec.workers") or next(_unreachable(places, spec.workers), None)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _right(patterns: Sequence[str], what: str) -> str:
    also = f", or use one like {', '.join(patterns[:5])}" if patterns else ""
    return f"leave the field out for the default {what}{also}"


def _places(spec: RunSpec) -> Iterator[tuple[str, str]]:
    yield "spec.model.uri", spec.model.uri
    yield "spec.artifacts.uri", spec.artifacts.uri
    for source in spec.sources:
        if source.file is not None:
            yield f"spec.sources[{source.name}].file.uri", source.file.uri
    for ready in spec.deltas or []:
        where = f"spec.deltas[{ready.name}]"
        if ready.lora is not None:
            yield f"{where}.lora.uri", ready.lora.uri
        if ready.full is not None:
            yield f"{where}.full.tuned", ready.full.tuned
            if ready.full.base is not None:
                yield f"{where}.full.base", ready.full.base


def _unreachable(places: Iterator[tuple[str, str]], workers: Workers) -> Iterator[Problem]:
    mounted = [PurePosixPath(volume.mount_path) for volume in workers.volumes or []]
    for where, uri in places:
        scheme, separator, _ = uri.partition("://")
        if not separator:
            message = (
                f"{where}: {uri} is a path relative to a document, which no pod has: write s3://, or file:///… below a mounted volume."
            )
            yield Problem("NotReachable", message)
        elif scheme == "package" and not mounted:
            message = (
                f"{where}: {uri} is in a Python package of this machine: mount a volume that holds it (workers.volumes), or write s3://."
            )
            yield Problem("NotReachable", message)
        elif scheme == "file" and not any(_is_below(uri, folder) for folder in mounted):
            message = (
                f"{where}: {uri} is below no volume of workers.volumes, so the next pod would not find it: mount one there, or write s3://."
            )
            yield Problem("NotReachable", message)


def _is_below(uri: str, folder: PurePosixPath) -> bool:
    path = PurePosixPath(unquote(urlsplit(uri).path))
    return ".." not in path.parts and path.is_relative_to(folder)
