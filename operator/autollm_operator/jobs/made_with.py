"""What a Job was made with, as a digest: workers cannot be changed in a Job, but one that waits can be made anew with others."""

from __future__ import annotations

from autollm.contract.digests import digest_document, short
from autollm.resources.workers import Workers
from autollm_operator.settings import WorkerDefaults


def made_with(section: str, workers: Workers, defaults: WorkerDefaults) -> str:
    """Return a digest of all that the pods of one section of `workers` are asked to be, by the document and by the operator's settings.

    It must not change by an upgrade of the operator alone, since Jobs would lose their place in a queue by it: a field that is new
    in the types does not count until it is set, nor does the version of the settings' image.
    """
    others = {*workers.by_kind, "ttl_after_finished"}
    asked = {
        "workers": workers.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=others),
        section: workers.by_kind[section].model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "settings": defaults.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"image"}),
        "repository": _repository(defaults.image) if workers.image is None else "",
    }
    return short(digest_document(asked))


def _repository(image: str) -> str:
    """Return an image's name without its tag and its digest; the colon of a registry's port stays."""
    name = image.partition("@")[0]
    before, _, tag = name.rpartition(":")
    return before if before and "/" not in tag else name
