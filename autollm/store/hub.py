"""Models from the Hugging Face Hub, pinned to a commit: hf://org/name[@revision]."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from autollm.errors import AutoLLMError, InputError
from autollm.store.disk import disk_errors
from autollm.store.folder import FolderStore
from autollm.store.port import AccessDeniedError, NotFoundError, StoreUnavailableError
from autollm.store.read_only import ReadOnlyStore

WANTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*config.json",
    "tokenizer.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "*.tiktoken",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE*",
)
"""Weights, configuration and tokenizer. Pickles and code never: loading either would run what a stranger wrote."""

UNWANTED = ("*/*", "consolidated*")
"""Other layouts of the same weights, in folders or beside them."""

_IN_A_CLUSTER = " (in a cluster, in the Secret that model.secretName names)"

_REPO = re.compile(r"[A-Za-z0-9][-._A-Za-z0-9]{0,95}/[A-Za-z0-9][-._A-Za-z0-9]{0,95}")


@dataclass(frozen=True)
class HubRepo:
    """A model's repository, and the branch, tag or commit that is asked for; None is the default branch."""

    name: str
    revision: str | None = None

    @property
    def uri(self) -> str:
        """The repository as the documents write it."""
        return f"hf://{self.name}@{self.revision}" if self.revision else f"hf://{self.name}"


def parse_hub_uri(uri: str, revision: str | None = None) -> HubRepo:
    """Read `hf://org/name[@revision]`; `revision` comes from a field of its own. Raises InputError where they differ."""
    name, _, pinned = uri.removeprefix("hf://").partition("@")
    if not _REPO.fullmatch(name):
        raise InputError(f"{uri!r} names no model of the Hub: write hf://org/name or hf://org/name@revision")
    if pinned and revision and pinned != revision:
        raise InputError(f"{uri!r} asks for revision {pinned!r}, but the field revision says {revision!r}: leave one of them out")
    return HubRepo(name, pinned or revision)


def snapshot(
    repo: str, revision: str | None = None, token: str | None = None, *, endpoint: str | None = None, cache: Path | None = None
) -> Path:
    """Return a folder with the weights, configuration and tokenizer of a model; `commit` of that folder says which version it is.

    What is in the Hub's cache is not fetched again, and serves alone where the Hub does not answer. The token, the endpoint
    and the cache come from the Hub's own settings (HF_TOKEN, HF_ENDPOINT, HF_HOME) where they are not given.
    Raises NotFoundError (repository or revision), AccessDeniedError (gated, private, wrong token), StoreUnavailableError, and
    InputError (NoSafetensors) where the model has no weights in safetensors.
    """
    from huggingface_hub import constants, snapshot_download  # slow to import
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    source = HubRepo(repo, revision)
    with disk_errors(f"{cache or constants.HF_HUB_CACHE}"):
        try:
            folder = snapshot_download(
                repo,
                revision=revision,
                token=token,
                endpoint=endpoint,
                cache_dir=cache,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
        except Exception as error:
            known = _translate(error, source)
            if known is None:
                raise
            raise known from error
    path = Path(folder)
    if not any(path.glob("*.safetensors")):
        raise InputError(
            f"{source.uri} has no weights in safetensors; pickled weights are never loaded: convert them, or take another model",
            reason="NoSafetensors",
        )
    return path


def commit(folder: Path) -> str:
    """Return the commit of a folder that `snapshot` gave: 40 hexadecimal digits."""
    return folder.name


def open_hub(repo: HubRepo) -> ReadOnlyStore:
    """Fetch a model and return its files as a store that names the commit."""
    folder = snapshot(repo.name, repo.revision)
    uri = HubRepo(repo.name, commit(folder)).uri
    return ReadOnlyStore(FolderStore(folder, uri=uri), uri)


def _translate(error: Exception, repo: HubRepo) -> AutoLLMError | None:
    """Return the store's error, or None for what is an operating system's error or a fault of ours."""
    import httpx2
    from huggingface_hub import errors as hub

    uri = repo.uri
    if isinstance(error, hub.GatedRepoError):
        return AccessDeniedError(
            f"{uri} is gated: accept its terms on its page at the Hub, and give a token of that account in HF_TOKEN{_IN_A_CLUSTER}"
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return NotFoundError(f"{uri}: the model has no revision {repo.revision!r}: name a branch, a tag or a commit that it has")
    if isinstance(error, hub.RepositoryNotFoundError):
        return NotFoundError(
            f"there is no {uri} at the Hub that this token may see: check its name, or give a token in HF_TOKEN{_IN_A_CLUSTER}"
        )
    if isinstance(error, hub.LocalEntryNotFoundError):
        return StoreUnavailableError(
            f"{uri} is not wholly in the cache and the Hub does not answer: check the network, HF_ENDPOINT and HF_HUB_OFFLINE"
        )
    if isinstance(error, hub.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return AccessDeniedError(
                f"{uri}: the Hub refused the token (HTTP {status}): check HF_TOKEN{_IN_A_CLUSTER}, and what it may read"
            )
        return StoreUnavailableError(f"{uri}: the Hub answers HTTP {status}: start again later")
    if isinstance(error, hub.HFValidationError):
        return InputError(f"{uri} names no model of the Hub: write hf://org/name or hf://org/name@revision")
    if isinstance(error, httpx2.TransportError):
        return StoreUnavailableError(f"{uri}: the Hub does not answer ({type(error).__name__}): check the network and HF_ENDPOINT")
    return None
