from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from autollm.errors import InputError, Interrupted, OutOfMemoryError
from autollm_runtime.evaluate.budget import Budget
from autollm_runtime.evaluate.computed import SequenceScore
from autollm_runtime.evaluate.forward import score_sequences
from autollm_runtime.model.loading import load_model
from autollm_runtime.text.encoding import Encoded
from support.tiny_model import make_tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), seed=3)


@pytest.fixture
def model(folder: Path) -> PreTrainedModel:
    return load_model(folder, "Float32", torch.device("cpu"))


def sequences(count: int = 9) -> list[Encoded]:
    generator = torch.Generator().manual_seed(1)
    made = []
    for number in range(count):
        length = 4 + 5 * number
        ids = torch.randint(3, 250, (length,), generator=generator).tolist()
        start = 1 + number % 3
        made.append(Encoded(ids, [position >= start and position % 4 != 3 for position in range(length)]))
    return made


def alone(model: PreTrainedModel, sequence: Encoded) -> SequenceScore:
    """The definition: the whole sequence through the whole model, its log-softmax, and the scored tokens picked out."""
    with torch.no_grad():
        output = model(input_ids=torch.tensor([sequence.ids])).logits[0].double().log_softmax(-1)
    scored = [position for position, wanted in enumerate(sequence.mask) if wanted]
    total = sum(float(output[position - 1, sequence.ids[position]]) for position in scored)
    greedy = all(int(output[position - 1].argmax()) == sequence.ids[position] for position in scored)
    return SequenceScore(total, len(scored), greedy)


def test_agrees_with_the_definition_in_every_order_and_length(model: PreTrainedModel) -> None:
    made = sequences()
    for score, expected in zip(score_sequences(model, made, Budget(100)), [alone(model, one) for one in made], strict=True):
        assert score.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
        assert (score.tokens, score.greedy) == (expected.tokens, expected.greedy)


class TestSharedPrefix:
    """Half of the sequences begin alike, as with a system prompt; the rest shares nothing."""

    @pytest.fixture
    def mixed(self) -> list[Encoded]:
        generator = torch.Generator().manual_seed(4)
        system = torch.randint(3, 250, (20,), generator=generator).tolist()
        return [Encoded(system + one.ids, [False] * 20 + one.mask) if number % 2 else one for number, one in enumerate(sequences(16))]

    def test_scores_are_those_without_it(self, model: PreTrainedModel, mixed: list[Encoded]) -> None:
        found = score_sequences(model, mixed, Budget(100))
        for score, expected in zip(found, [alone(model, one) for one in mixed], strict=True):
            assert score.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
            assert (score.tokens, score.greedy) == (expected.tokens, expected.greedy)

    def test_it_is_computed_once(self, model: PreTrainedModel, mixed: list[Encoded]) -> None:
        seen: list[int] = []
        model.get_input_embeddings().register_forward_hook(lambda module, given, output: seen.append(output.shape[0] * output.shape[1]))
        score_sequences(model, mixed, Budget(1))
        assert sum(seen) == sum(len(one.ids) - 1 for one in mixed) - 7 * 20

    def test_it_does_not_outlive_the_weights(self, model: PreTrainedModel, mixed: list[Encoded]) -> None:
        score_sequences(model, mixed, Budget(100))
        with torch.no_grad():
            for parameter in model.model.layers[0].parameters():
                parameter.mul_(-3)
        self.test_scores_are_those_without_it(model, mixed)

    def test_no_scored_token_is_predicted_from_within(self, model: PreTrainedModel) -> None:
        same = [Encoded([*range(5, 25), 30 + number], [False] * 12 + [True] * 9) for number in range(6)]
        for score, expected in zip(score_sequences(model, same, Budget(100)), [alone(model, one) for one in same], strict=True):
            assert score.log_probability == pytest.approx(expected.log_probability, abs=1e-3)
            assert score.tokens == 9


def test_the_size_of_a_batch_changes_nothing_beyond_the_noise(model: PreTrainedModel) -> None:
    made = sequences()
    runs = [[score.log_probability for score in score_sequences(model, made, Budget(tokens))] for tokens in (1, 60, 100_000)]
    for totals in runs[1:]:
        assert totals == pytest.approx(runs[0], abs=1e-3)


def test_the_output_layer_sees_scored_positions_alone(model: PreTrainedModel) -> None:
    made = sequences()
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda head, given, output: seen.append(output.numel() // output.shape[-1]))  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    score_sequences(model, made, Budget(80))
    assert len(seen) > 1
    assert sum(seen) == sum(one.learned for one in made)


def test_a_model_that_caps_its_logits_still_does(folder: Path, model: PreTrainedModel) -> None:
    made = sequences(3)
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    head.register_forward_hook(lambda module, given, output: torch.tanh(output * 20) / 2)
    for score, expected in zip(score_sequences(model, made, Budget(50)), [alone(model, one) for one in made], strict=True):
        assert score.log_probability == pytest.approx(expected.log_probability, abs=1e-3)


def test_of_equal_logits_the_first_is_what_greedy_decoding_takes(model: PreTrainedModel) -> None:
    model.get_output_embeddings().register_forward_hook(lambda module, given, output: torch.zeros_like(output))  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    first, other = score_sequences(model, [Encoded([5, 0], [False, True]), Encoded([5, 7], [False, True])], Budget(50))
    assert (first.greedy, other.greedy) == (True, False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_score(model: PreTrainedModel, value: float) -> None:
    with torch.no_grad():
        model.get_output_embeddings().weight[40] = value  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    with pytest.raises(InputError, match="NaN or infinite") as caught:
        score_sequences(model, sequences(2), Budget(50))
    assert caught.value.reason == "NonFinite"


def test_stops_between_batches(model: PreTrainedModel) -> None:
    calls = []

    def between() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        score_sequences(model, sequences(), Budget(1), between)
    assert len(calls) == 3


class TestMemory:
    """A budget whose work runs out of memory above some number of tokens."""

    def run(self, budget: Budget, limit: int) -> tuple[list[int], list[int]]:
        lengths = [3, 9, 5, 7, 2, 8]
        batches: list[int] = []

        def work(batch: list[int]) -> list[int]:
            padded = len(batch) * max(lengths[index] for index in batch)
            if padded > limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            batches.append(padded)
            return [10 * lengths[index] for index in batch]

        return budget.map(lengths, work, lambda: None), batches

    def test_halves_the_batches_for_good(self) -> None:
        budget = Budget(40)
        values, batches = self.run(budget, 12)
        assert values == [30, 90, 50, 70, 20, 80]
        assert max(batches) <= 12
        assert budget.tokens == 10

    def test_says_when_a_single_sequence_is_too_large(self) -> None:
        with pytest.raises(OutOfMemoryError, match="single sequence of 9 tokens"):
            self.run(Budget(40), 8)

    def test_lets_other_errors_through(self) -> None:
        def work(batch: list[int]) -> list[int]:
            raise RuntimeError("shapes differ")

        with pytest.raises(RuntimeError, match="shapes differ"):
            Budget(10).map([1], work, lambda: None)
