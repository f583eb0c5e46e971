"""The proof that a merged folder is what was scored: loaded by `transformers` alone, and equal to the merge in memory."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from autollm.errors import InputError
from autollm_runtime.delta.values import Delta
from autollm_runtime.merge.resident import ResidentMerge
from autollm_runtime.merge.stored import stored_parameters
from autollm_runtime.model.dtypes import torch_dtype
from autollm_runtime.model.loading import load_model
from autollm_runtime.publish.stopping import GENERATION_CONFIG, stops_of, trained_stops

_PROBE = 16
"""Tokens whose logits are compared."""

_LOGITS = 0.01
"""Two orders of adding in fp32 may differ by a rounding of single weights, which moves the logits by far less than this share."""


def verify_merge(folder: Path, base: Path, deltas: Sequence[Delta], weights: Mapping[str, float], dtype: str) -> None:
    """Raise InputError (reason NotVerified) unless a folder loads and is the merge of base and deltas.

    The sum is made a second time, in memory and by the code that scored the trials; every parameter of the loaded model may be off
    by one rounding, the logits must be finite, and generation must stop at the tokens with which training ended answers. One model is in
    memory at a time, beside the changed parameters.
    """
    expected, logits = _in_memory(base, deltas, weights, dtype)
    stops = trained_stops(folder)
    model = load_model(folder, dtype, torch.device("cpu"))
    generation = model.generation_config
    unknown = stops.difference(stops_of(generation.eos_token_id) if generation is not None else [])
    if unknown:
        raise InputError(
            f"{GENERATION_CONFIG} in {folder} lacks the tokens {sorted(unknown)} in eos_token_id, with which answers were trained to end: "
            "served, the model would not stop; publish again",
            reason="NotVerified",
        )
    if not bool(torch.isfinite(_logits(model)).all()):
        raise InputError(
            f"the merged model in {folder} answers with NaN or infinity; search the weights in narrower bounds", reason="NonFinite"
        )
    loaded = dict(model.named_parameters())
    for name, value in expected.items():
        if name not in loaded or not _same(loaded[name], value):
            raise InputError(
                f"the merged model in {folder} differs in {name} from the sum that was scored; disk or memory is faulty: publish again",
                reason="NotVerified",
            )
    if float((_logits(model) - logits).abs().mean()) > _LOGITS * float(logits.abs().mean()):
        raise InputError(
            f"the merged model in {folder} answers otherwise than the one that was scored; publish again", reason="NotVerified"
        )


def _same(loaded: Tensor, expected: Tensor) -> bool:
    """Whether two sums of the same terms agree but for the order in which fp32 adds them, and one rounding after it."""
    left, right = loaded.detach().float(), expected.float()
    noise = 8 * torch.finfo(torch.float32).eps * float(right.abs().max()) if right.numel() else 0.0
    return torch.allclose(left, right, rtol=torch.finfo(expected.dtype).eps, atol=noise)


def _in_memory(base: Path, deltas: Sequence[Delta], weights: Mapping[str, float], dtype: str) -> tuple[dict[str, Tensor], Tensor]:
    """Return the merged parameters that some delta changes, and the merged model's logits."""
    model = load_model(base, dtype, torch.device("cpu"))
    ResidentMerge(model, deltas, stored_parameters(base, deltas, torch_dtype(dtype))).apply(weights)
    changed = {name for delta in deltas for name in delta.shapes}
    expected = {name: value.detach() for name, value in model.named_parameters() if name in changed}
    logits = _logits(model)
    del model
    gc.collect()
    return expected, logits


@torch.inference_mode()
def _logits(model: PreTrainedModel) -> Tensor:
    ids = torch.arange(_PROBE).remainder(model.config.get_text_config().vocab_size).unsqueeze(0)
    logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits.float()
