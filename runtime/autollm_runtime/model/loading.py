"""Loading a checked folder into memory: model, tokenizer, and the test for numbers that are none."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from autollm.errors import InputError
from autollm_runtime.model.dtypes import torch_dtype
from autollm_runtime.model.folder import ModelFolder


def quiet_libraries() -> None:
    """Leave progress bars and advice of transformers out of the workers' logs."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.|trl\.|peft\.")
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers lacks the type
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers lacks the type


def load_model(path: Path, dtype: str, device: torch.device, *, attention: str | None = None) -> PreTrainedModel:
    """Load a causal language model in evaluation mode; `dtype` is BFloat16, Float16 or Float32.

    `attention` names one of transformers' implementations; absent, the fastest that the model has in general.

    Only safetensors are read and no code of the model's own is run. Raises InputError where the architecture is unknown or
    the weights do not fill it.
    """
    quiet_libraries()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=torch_dtype(dtype),
            attn_implementation=attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"the model in {path} cannot be loaded: {_first_line(error)}", reason="UnloadableModel") from error
    model, info = loaded
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            f"the model in {path} lacks {len(missing)} of its weights, first {missing[0]}; they would be random: save it whole",
            reason="IncompleteModel",
        )
    return model.to(device).eval()  # type: ignore[no-any-return]  # the name is looked up at run time


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model's folder, or out of a GGUF file; raises InputError where it cannot be read."""
    quiet_libraries()
    folder, gguf = (path.parent, {"gguf_file": path.name}) if path.is_file() else (path, {})
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **gguf)
    except Exception as error:  # the tokenizers library raises no other type
        raise InputError(f"the tokenizer in {path} cannot be read: {_first_line(error)}", reason="UnreadableTokenizer") from error
    return tokenizer  # type: ignore[no-any-return]  # the name is looked up at run time


def check_architecture(config: dict[str, Any], name: str) -> None:
    """Raise InputError unless transformers itself has the model's architecture as a causal language model."""
    kind = config["model_type"]
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return
    why = (
        "it needs code of its own, which is never run" if "auto_map" in config else "transformers has no causal language model of that type"
    )
    raise InputError(f"model.uri: {name} has model_type {kind!r}: {why}; give a model that transformers supports", reason="UnknownModel")


def check_finite(folder: ModelFolder, name: str) -> None:
    """Raise InputError naming the first weight of a model that holds a NaN or an infinity."""
    for file in folder.weights:
        with safe_open(folder.path / file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118  # not a mapping
                tensor = tensors.get_tensor(key)
                if tensor.numel() and tensor.is_floating_point() and not _finite(tensor):
                    raise InputError(
                        f"model.uri: {key} in {name}/{file} holds NaN or infinity; every score of it would be void: give a sound model",
                        reason="NonFinite",
                    )


def _finite(tensor: torch.Tensor) -> bool:
    # One pass without a copy: a NaN spreads to both ends.
    wide = tensor.float() if tensor.element_size() == 1 else tensor
    low, high = torch.aminmax(wide)
    return bool(torch.isfinite(low) and torch.isfinite(high))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
