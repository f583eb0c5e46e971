"""The merge in memory: exact from the pristine base, whatever was applied before."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autollm.errors import InputError
from autollm_runtime.delta import Delta, LowRank
from autollm_runtime.merge import ResidentMerge


class Net(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 6)
        self.up = nn.Linear(6, 9)
        self.down = nn.Linear(9, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.steps = nn.Buffer(torch.tensor([7]))
        self.to(dtype)


def low_rank(rows: int, columns: int, rank: int, seed: int, scale: float = 2.0) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    return LowRank(torch.randn(rank, columns, generator=generator), torch.randn(rows, rank, generator=generator), scale)


def dense(change: LowRank) -> torch.Tensor:
    return change.scale * change.b.double() @ change.a.double()


A = Delta("a", "ka", {"up.weight": low_rank(9, 6, 2, 1), "down.weight": low_rank(6, 9, 2, 2)})
B = Delta("b", "kb", {"up.weight": low_rank(9, 6, 3, 3, scale=0.5)}, {"up.bias": torch.linspace(-1, 1, 9)})
C = Delta("c", "kc", {}, {"down.weight": torch.linspace(0, 2, 54).view(6, 9), "embed.weight": torch.ones(11, 6)})


def reference(model: nn.Module, weights: dict[str, float]) -> dict[str, torch.Tensor]:
    sums = {name: value.detach().double().clone() for name, value in model.named_parameters()}
    for delta in (A, B, C):
        for name, change in delta.low_rank.items():
            sums[name] += weights.get(delta.name, 0.0) * dense(change)
        for name, full in delta.full.items():
            sums[name] += weights.get(delta.name, 0.0) * full.double()
    return sums


@given(st.fixed_dictionaries({}, optional={name: st.sampled_from([0.0, 1.0]) | st.floats(-3, 3) for name in "abc"}))
@settings(max_examples=40)
def test_the_sum_is_that_of_fp64_without_cross_terms(weights: dict[str, float]) -> None:
    model = Net()
    expected = reference(model, weights)
    ResidentMerge(model, [A, B, C]).apply(weights)
    for name, value in model.named_parameters():
        torch.testing.assert_close(value.detach().double(), expected[name], rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("weight", [0.5, -1.0, 1.0])
def test_one_delta_is_added_in_proportion(weight: float) -> None:
    model = Net()
    before = model.up.weight.detach().clone()
    ResidentMerge(model, [A]).apply({"a": weight})
    torch.testing.assert_close(model.up.weight.detach() - before, (weight * dense(A.low_rank["up.weight"])).float(), rtol=1e-5, atol=1e-5)


def test_zero_gives_the_base_bit_for_bit_after_other_weights() -> None:
    model = Net(torch.bfloat16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merge = ResidentMerge(model, [A, B, C])
    merge.apply({"a": 0.7, "b": -1.0, "c": 0.1})
    merge.apply({})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_two_hundred_candidates_leave_no_drift() -> None:
    used, fresh = Net(torch.bfloat16), Net(torch.bfloat16)
    merge = ResidentMerge(used, [A, B, C])
    for step in range(200):
        merge.apply({"a": 0.01 * step, "b": 1 - 0.02 * step, "c": 0.5 if step % 3 else 0.0})
    merge.apply({"a": 0.3, "b": 0.2, "c": -0.1})
    ResidentMerge(fresh, [A, B, C]).apply({"a": 0.3, "b": 0.2, "c": -0.1})
    assert all(torch.equal(left, right) for left, right in zip(used.parameters(), fresh.parameters(), strict=True))


def test_bf16_is_rounded_once() -> None:
    model = Net(torch.bfloat16)
    expected = reference(model, {"a": 0.11, "b": 0.07, "c": 0.013})
    ResidentMerge(model, [A, B, C]).apply({"a": 0.11, "b": 0.07, "c": 0.013})
    for name, value in model.named_parameters():
        error = (value.detach().double() - expected[name]).abs()
        half_step = 2.0 ** (torch.floor(torch.log2(expected[name].abs().clamp_min(1e-30))) - 8)
        assert bool((error <= half_step * 1.001).all()), name


def test_a_model_that_was_rounded_when_loaded_is_merged_from_the_stored_values() -> None:
    exact, rounded = Net(), Net().to(torch.bfloat16)
    stored = {name: value.detach().clone() for name, value in exact.named_parameters()}
    ResidentMerge(rounded, [A], stored).apply({"a": 0.01})
    ResidentMerge(exact, [A]).apply({"a": 0.01})
    assert torch.equal(rounded.up.weight, exact.up.weight.to(torch.bfloat16))


def test_stored_values_of_a_tied_parameter_count_under_either_name() -> None:
    exact, rounded = Net(), Net().to(torch.bfloat16)
    delta = Delta("d", "k", {}, {"head.weight": torch.full((11, 6), 0.01)})
    ResidentMerge(rounded, [delta], {"head.weight": exact.head.weight.detach().clone()}).apply({"d": 1.0})
    assert torch.equal(rounded.embed.weight, (exact.embed.weight + 0.01).to(torch.bfloat16))


def test_tied_parameters_are_changed_once() -> None:
    model = Net()
    before = model.embed.weight.detach().clone()
    both = Delta("d", "k", {}, {"embed.weight": torch.ones(11, 6), "head.weight": torch.ones(11, 6)})
    ResidentMerge(model, [both]).apply({"d": 1.0})
    assert torch.equal(model.head.weight, before + 1)


def test_an_adapter_on_one_of_two_tied_parameters_is_refused() -> None:
    with pytest.raises(InputError, match=r"embed\.weight and head\.weight are one tied parameter") as caught:
        ResidentMerge(Net(), [Delta("d", "k", {"head.weight": low_rank(11, 6, 2, 4)})])
    assert caught.value.reason == "NotTied"


def test_buffers_stay_as_they_are() -> None:
    model = Net()
    ResidentMerge(model, [A]).apply({"a": 3.0})
    assert model.steps.tolist() == [7]


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused(weight: float) -> None:
    with pytest.raises(InputError, match="finite") as caught:
        ResidentMerge(Net(), [A]).apply({"a": weight})
    assert caught.value.reason == "NonFinite"


def test_a_delta_with_nan_is_refused_by_its_parameter() -> None:
    broken = Delta("d", "k", {}, {"up.bias": torch.tensor([float("nan")] * 9)})
    with pytest.raises(InputError, match=r"up\.bias"):
        ResidentMerge(Net(), [broken])


def test_an_overflowing_sum_fails_and_the_next_candidate_is_right() -> None:
    model, fresh = Net(torch.float16), Net(torch.float16)
    merge = ResidentMerge(model, [A, C])
    merge.apply({"a": 0.5})
    with pytest.raises(InputError, match="not finite") as caught:
        merge.apply({"c": 1e5})
    assert caught.value.reason == "NonFinite"
    merge.apply({"a": 0.5})
    ResidentMerge(fresh, [A, C]).apply({"a": 0.5})
    assert all(torch.equal(left, right) for left, right in zip(model.parameters(), fresh.parameters(), strict=True))


def test_an_unknown_weight_parameter_and_shape_are_named() -> None:
    with pytest.raises(InputError, match="'x'"):
        ResidentMerge(Net(), [A]).apply({"x": 1.0})
    with pytest.raises(InputError, match=r"other\.weight"):
        ResidentMerge(Net(), [Delta("d", "k", {"other.weight": low_rank(9, 6, 2, 1)})])
    with pytest.raises(InputError, match=r"\[9, 7\].*\[9, 6\]"):
        ResidentMerge(Net(), [Delta("d", "k", {"up.weight": low_rank(9, 7, 2, 1)})])
