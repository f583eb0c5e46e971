"""Where artifacts lie below `artifacts.uri`: keys relative to it. A manifest is written last, and only manifests are believed."""

from __future__ import annotations

from autollm.contract.digests import short

LATEST = "latest.json"
REVISIONS = "revisions/"


def hexadecimal(digest: str) -> str:
    """Return a digest as it stands in keys."""
    return digest.removeprefix("sha256:")


def data_manifest(digest: str) -> str:
    """The manifest of prepared data, by its own digest."""
    return f"data/{hexadecimal(digest)}.json"


def data_pointer(run: str) -> str:
    """The pointer to a run's newest data manifest, from which the next cut continues."""
    return f"data/runs/{run}.json"


def records(digest: str) -> str:
    """A file of canonical records, one JSON object a line: a chunk, or the items of a split."""
    return f"records/{hexadecimal(digest)}.jsonl"


def base_prefix(digest: str) -> str:
    """The converted copy of a base model, where the user's own location cannot be loaded as it is."""
    return f"base/{hexadecimal(digest)}/"


def delta_prefix(key: str) -> str:
    """Everything of a delta."""
    return f"deltas/{hexadecimal(key)}/"


def delta_manifest(key: str) -> str:
    """The manifest of a delta; it names the prefix of the attempt that made it."""
    return f"{delta_prefix(key)}manifest.json"


def delta_attempt(key: str, attempt: str) -> str:
    """The private prefix of one attempt at a delta."""
    return f"{delta_prefix(key)}{attempt}/"


def checkpoint_prefix(key: str) -> str:
    """Where an unfinished training keeps its checkpoints."""
    return f"checkpoints/{hexadecimal(key)}/"


def trial_results(run: str, trial: str) -> str:
    """The per-item results of a trial."""
    return f"trials/{run}/{trial}.jsonl"


def revision_prefix(revision: str) -> str:
    """A published model."""
    return f"{REVISIONS}{revision}/"


def revision_manifest(revision: str) -> str:
    """The manifest of a published model, written after all of its files."""
    return f"{REVISIONS}{revision}/manifest.json"


def revision_claim(revision: str) -> str:
    """Who may write this revision's files: the first to write this."""
    return f"{REVISIONS}{revision}/claim.json"


def child_name(parent: str, digest: str) -> str:
    """The name of a child: the parent's first 40 characters, a dash, a hash."""
    return f"{parent[:40]}-{short(digest, 10)}"
