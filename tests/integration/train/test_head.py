"""The output head in training: plain values and gradients, for learned positions alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from autollm_runtime.train.head import TESTED_TRL, LearnedHead, use_learned_head
from autollm_runtime.train.run import run_train
from support.tiny_model import make_tiny_model
from support.training import Bench, preferences, sums

VOCABULARY, WIDTH = 70, 8


def plain(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, softcap: float | None, scale: float) -> Tensor:
    logits = functional.linear(hidden, weight, bias).float() * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return functional.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]


@pytest.mark.parametrize("count", [0, 1, 256, 600])
@pytest.mark.parametrize(("softcap", "scale"), [(None, 1.0), (3.0, 0.5)])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_plain_formula(
    count: int, softcap: float | None, scale: float, trained: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    weight = torch.randn(VOCABULARY, WIDTH, dtype=dtype).requires_grad_(trained)
    bias = torch.randn(VOCABULARY, dtype=dtype).requires_grad_(trained)
    targets = torch.randint(VOCABULARY, (count,))
    outer = torch.randn(count)
    gradients = []
    computes: list[Callable[[Tensor], Tensor]] = [
        lambda hidden: LearnedHead.apply(hidden, weight, bias, targets, 1.0, 32, softcap, scale, ("entropy",))[0],
        lambda hidden: plain(hidden, weight, bias, targets, softcap, scale),
    ]
    for compute in computes:
        hidden = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
        values = compute(hidden)
        inputs = [hidden, weight, bias] if trained else [hidden]
        gradients.append((values.detach(), *torch.autograd.grad((values * outer).sum(), inputs)))
    for ours, expected in zip(*gradients, strict=True):
        tolerance = 1e-5 if dtype == torch.float32 else 3e-2
        torch.testing.assert_close(ours, expected, rtol=tolerance, atol=tolerance)


def test_nothing_is_kept_for_a_reference() -> None:
    hidden = torch.randn(5, WIDTH)
    with torch.no_grad():
        found = LearnedHead.apply(hidden, torch.randn(VOCABULARY, WIDTH), None, torch.arange(5), 1.0, 32, None, 1.0, ())
    assert not found[0].requires_grad
    assert found[1:] == (None, None, None, None)


class _TheirHead:
    @staticmethod
    def apply(*arguments: Any) -> str:
        return "theirs"


def test_other_devices_than_cpus_keep_what_trl_has_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LearnedHead, "original", LearnedHead.original)
    module: Any = ModuleType("trl_of_the_test")
    module._use_triton = lambda device: device.type == "cuda"
    module._ChunkedLogProbFunction = _TheirHead
    use_learned_head(module)
    use_learned_head(module)  # a second time changes nothing
    assert {name: module._use_triton(torch.device(name)) for name in ("cpu", "cuda", "mps")} == {"cpu": True, "cuda": True, "mps": False}
    hidden = torch.empty(5, WIDTH, device="meta")
    assert module._ChunkedLogProbFunction.apply(hidden, hidden, None, torch.arange(5), 1.0, 32, None, 1.0, ()) == "theirs"


def test_a_trl_without_the_head_is_refused_by_its_version() -> None:
    with pytest.raises(ImportError, match=rf"no _use_triton in changed.*tested with TRL {re.escape(TESTED_TRL)}"):
        use_learned_head(cast("ModuleType", SimpleNamespace(__name__="changed", _ChunkedLogProbFunction=_TheirHead)))


@pytest.mark.parametrize(
    ("records", "kind", "learned"),
    # An answer is one digit, or a wrong one with up to two marks, and its end; DPO's reference reads them once more.
    [(sums(8), "sft", 8 * 2), (preferences(4), "dpo", 2 * (4 * 2 + 4 * 2 + 3))],
)
def test_prompts_never_reach_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[Any], kind: str, learned: int) -> None:
    bench = Bench(tmp_path, make_tiny_model(tmp_path / "base"))
    seen: list[int] = []
    head = LearnedHead.apply

    def counted(hidden: Tensor, *rest: Any) -> Any:
        seen.append(len(hidden))
        return head(hidden, *rest)

    monkeypatch.setattr(LearnedHead, "apply", counted)
    run_train(bench.task(records, {kind: {"batchSize": 64}}), bench.context()[0])
    assert sum(seen) == learned
