"""In which number format a run trains, scores and publishes, where its document does not say."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

from autollm.contract import layout
from autollm.resources.facts import ModelFact
from autollm.store import PreconditionError, Store
from autollm_runtime.model.dtypes import DTypeName, choose_device, probe_dtype

_log = logging.getLogger(__name__)

_MEASURED = "dtype.json"


def number_format(digest: str, store: Store, *, last: ModelFact | None, on_gpus: bool) -> DTypeName:
    """Return the format for the base model of this digest.

    It stays what it was for as long as the run has this base, because in another format every delta and score would be a stranger:
    `last` is what the run was prepared with before. Else it is BFloat16 where other pods than this one compute `on_gpus`; where the work
    is done by machines like this one, it is measured once and kept beside the artifacts of the base.
    """
    if last is not None and last.digest == digest:
        if on_gpus and last.dtype == "Float32":
            _log.warning(
                "the run stays in Float32, the format of its deltas, although it has GPUs now: "
                "with model.dtype: BFloat16 it is several times faster, and every delta is trained anew"
            )
        return last.dtype
    return "BFloat16" if on_gpus else _measured(digest, store)


def _measured(digest: str, store: Store) -> DTypeName:
    key = f"{layout.base_prefix(digest)}{_MEASURED}"
    if store.stat(key) is None:
        with suppress(PreconditionError):  # another worker was first; its measurement is the one
            store.write(key, json.dumps({"dtype": probe_dtype(choose_device())}).encode(), if_absent=True)
    kept: DTypeName = json.loads(store.read(key))["dtype"]
    return kept
