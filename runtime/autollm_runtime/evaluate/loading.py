"""What an evaluator loads: once the base with its deltas, now and then another model that is scored whole."""

from __future__ import annotations

from pathlib import Path

from autollm.contract.digests import short
from autollm.contract.layout import REVISIONS
from autollm.contract.tasks import EvaluateTask
from autollm.errors import IntegrityError
from autollm.resources.merge_trial import WholeModel
from autollm.store import Store
from autollm.store.revisions import verify_revision
from autollm_runtime.delta import read_delta
from autollm_runtime.evaluate.budget import budget_for
from autollm_runtime.evaluate.subject import Subject
from autollm_runtime.merge import ResidentMerge
from autollm_runtime.merge.stored import stored_parameters
from autollm_runtime.model.dtypes import choose_device, torch_dtype
from autollm_runtime.model.fetch import fetch_location, fetch_model
from autollm_runtime.model.folder import inspect_folder
from autollm_runtime.model.loading import load_model, load_tokenizer
from autollm_runtime.text.encoding import Encoder


def load_merge(task: EvaluateTask, store: Store, scratch: Path) -> tuple[Subject, ResidentMerge]:
    """Load the base and all deltas of a task, each checked by its digest; the merge writes into the subject's model."""
    path = fetch_model(task.model, store, scratch)
    subject = load_subject(path, task.model.dtype, task.max_tokens)
    deltas = [read_delta(store, delta.name, delta.key, base=task.model.digest, scratch=scratch) for delta in task.deltas]
    return subject, ResidentMerge(subject.model, deltas, stored_parameters(path, deltas, torch_dtype(task.model.dtype)))


def load_whole(model: WholeModel, task: EvaluateTask, store: Store, scratch: Path) -> Subject:
    """Load another model in the number format of the run, with its own tokenizer."""
    return load_subject(_fetch_whole(model, store, scratch), task.model.dtype, task.max_tokens)


def load_subject(path: Path, dtype: str, max_tokens: int) -> Subject:
    """Load a model's folder onto the device that is there."""
    device = choose_device()
    model = load_model(path, dtype, device)
    tokenizer = load_tokenizer(path)
    return Subject(model, tokenizer, Encoder(tokenizer, max_tokens), budget_for(device, model.config.get_text_config().vocab_size))


def _fetch_whole(model: WholeModel, store: Store, scratch: Path) -> Path:
    """Return a local folder with a model: a published revision, known by the digest of its manifest, or any other by its own."""
    uri = model.uri.rstrip("/")
    revisions = f"{store.uri}/{REVISIONS}"
    published = uri.startswith(revisions)
    found = verify_revision(store, uri.removeprefix(revisions))[1] if published else None
    path = fetch_location(uri, None, store, scratch)
    if (found or inspect_folder(path, uri).digest()) != model.digest:
        raise IntegrityError(f"the model at {uri} is not the one with digest {short(model.digest)}: it was changed or damaged")
    return path
