"""A GGUF file as a safetensors folder: read and dequantised once, found again in the artifacts by its digest."""

from __future__ import annotations

import io
import logging
import shutil
import time
import uuid
from contextlib import redirect_stderr
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from autollm.contract import layout
from autollm.contract.digests import digest_document, digest_file
from autollm.contract.manifests import StoredFile
from autollm.errors import InputError
from autollm.resources.model import Model
from autollm.resources.values import Digest
from autollm.store import NotFoundError, PreconditionError, Store
from autollm_runtime.model.folder import inspect_folder
from autollm_runtime.model.loading import check_finite, load_tokenizer, quiet_libraries

_CONVERTER_VERSION = 1
_log = logging.getLogger(__name__)


class ConvertedBase(Model):
    """The manifest of a converted base model: its digest as a folder, and its files below `prefix`."""

    source: Digest
    digest: Digest
    parameters: int
    prefix: str
    files: list[StoredFile]


def converted(file: Path, store: Store, scratch: Path) -> ConvertedBase:
    """Return the converted copy of a GGUF file in the artifacts, converting it where there is none yet.

    The weights are dequantised to fp32, so that nothing is lost a second time. The manifest is written last, and the first
    of several writers wins. Raises InputError where transformers cannot read the file.
    """
    source = digest_document({"gguf": digest_file(file), "converter": _CONVERTER_VERSION})
    manifest = f"{layout.base_prefix(source)}manifest.json"
    try:
        return ConvertedBase.model_validate_json(store.read(manifest))
    except NotFoundError:
        pass
    folder = scratch / "converted"
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    _convert(file, folder)
    model = inspect_folder(folder, file.name)
    check_finite(model, file.name)
    prefix = f"{layout.base_prefix(source)}{uuid.uuid4().hex[:12]}/"
    files = []
    for name in model.files:
        path = folder / name
        store.upload(path, prefix + name)
        files.append(StoredFile(name=name, digest=digest_file(path), size=path.stat().st_size))
    made = ConvertedBase(source=source, digest=model.digest(), parameters=model.parameters, prefix=prefix, files=files)
    shutil.rmtree(folder)
    try:
        store.write(manifest, made.model_dump_json(by_alias=True).encode(), if_absent=True)
    except PreconditionError:  # another writer was first; its copy is the one
        for name in model.files:
            store.delete(prefix + name)
        return ConvertedBase.model_validate_json(store.read(manifest))
    _log.info("converted %s to safetensors in %.0f s", file.name, time.monotonic() - started)
    return made


def _convert(file: Path, folder: Path) -> None:
    quiet_libraries()
    tokenizer = load_tokenizer(file)
    try:
        with redirect_stderr(io.StringIO()):  # it draws a progress bar that no setting turns off
            read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32, local_files_only=True)
    except Exception as error:  # the readers of a file that is no model fail in every way
        raise InputError(f"model.uri: {file} cannot be read as a GGUF model: {error}", reason="UnreadableModel") from error
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # The model that was read counts as quantised and refuses to be saved; the same weights in a plain one do not.
    with torch.device("meta"):
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]  # transformers lacks the type
    plain.load_state_dict(read.state_dict(), assign=True, strict=True)
    plain.tie_weights()
    plain.generation_config = read.generation_config
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
