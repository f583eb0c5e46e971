from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autollm.errors import InputError, Interrupted
from autollm_runtime.evaluate.budget import Budget
from autollm_runtime.evaluate.computed import Answer
from autollm_runtime.evaluate.forward import score_sequences
from autollm_runtime.evaluate.generate import generate_answers
from autollm_runtime.evaluate.items import Prompt
from autollm_runtime.evaluate.loading import load_subject
from autollm_runtime.evaluate.subject import Subject
from autollm_runtime.text.encoding import Encoded
from support.tiny_model import make_tiny_model

NEVER = frozenset({2})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), seed=5)


@pytest.fixture
def subject(folder: Path) -> Subject:
    loaded = load_subject(folder, "Float32", 256)
    with torch.no_grad():
        # Sharper than random initialisation, so that near-ties do not decide.
        for parameter in loaded.model.parameters():
            parameter.mul_(2)
    return loaded


def prompts(cap: int, count: int = 7) -> list[Prompt]:
    generator = torch.Generator().manual_seed(2)
    return [Prompt(torch.randint(3, 250, (3 + 4 * number,), generator=generator).tolist(), cap) for number in range(count)]


def generate(subject: Subject, asked: list[Prompt], stops: frozenset[int] = NEVER, tokens: int = 10_000) -> list[Answer]:
    return generate_answers(subject.model, subject.tokenizer, asked, stops, Budget(tokens))


def slowly(subject: Subject, prompt: Prompt, stops: frozenset[int]) -> Answer:
    """The definition: the whole sequence again for every token, one prompt at a time."""
    ids: list[int] = []
    while len(ids) < prompt.cap:
        with torch.no_grad():
            token = int(subject.model(input_ids=torch.tensor([prompt.ids + ids])).logits[0, -1].argmax())
        if token in stops:
            return Answer(ids, stopped=True)
        ids.append(token)
    return Answer(ids, stopped=False)


def stopping(subject: Subject) -> frozenset[int]:
    """Tokens that some of the answers hit early, some later and some never."""
    answers = generate(subject, prompts(12))
    return frozenset({answers[0].ids[2], answers[3].ids[7]})


def test_batched_answers_are_those_of_one_after_the_other(subject: Subject) -> None:
    stops = stopping(subject)
    expected = [slowly(subject, prompt, stops) for prompt in prompts(12)]
    assert {answer.stopped for answer in expected} == {True, False}
    assert generate(subject, prompts(12), stops) == expected
    assert generate(subject, prompts(12), stops, tokens=1) == expected


def test_one_forward_pass_tells_what_generation_would_give(subject: Subject) -> None:
    """Right answers, answers with a wrong token at any place, and answers that end too soon or too late."""
    stops = stopping(subject)
    stop = min(stops)
    cases: list[tuple[Prompt, list[int]]] = []
    for prompt, answer in zip(prompts(30), generate(subject, prompts(30), stops), strict=True):
        reply = [*answer.ids, stop]
        cases += [(prompt, reply), (prompt, [*answer.ids[:-1], stop]), (prompt, [*answer.ids, 9, stop])]
        cases += [(prompt, [*reply[:place], 77, *reply[place + 1 :]]) for place in range(0, len(reply), 5)]
    encoded = [Encoded(prompt.ids + reply, [False] * len(prompt.ids) + [True] * len(reply)) for prompt, reply in cases]
    found = [score.greedy for score in score_sequences(subject.model, encoded, Budget(400))]
    only = frozenset({stop})
    given = generate(subject, [Prompt(prompt.ids, len(reply)) for prompt, reply in cases], only)
    real = [answer.stopped and [*answer.ids, stop] == reply for (_, reply), answer in zip(cases, given, strict=True)]
    assert found == real
    assert set(real) == {True, False}


def test_each_prompt_has_its_own_cap(subject: Subject) -> None:
    asked = [Prompt(prompt.ids, cap) for prompt, cap in zip(prompts(0), range(1, 8), strict=True)]
    assert [len(answer.ids) for answer in generate(subject, asked)] == list(range(1, 8))


def test_a_smaller_cap_is_a_cut(subject: Subject) -> None:
    stops = stopping(subject)
    for long, short in zip(generate(subject, prompts(12), stops), generate(subject, prompts(4), stops), strict=True):
        assert long.cut(4) == short


def test_the_token_that_ends_an_answer_counts_towards_the_cap() -> None:
    assert Answer([1, 2], stopped=True).cut(3) == Answer([1, 2], stopped=True)
    assert Answer([1, 2], stopped=True).cut(2) == Answer([1, 2], stopped=False)


def test_nothing_of_the_generation_config_is_in_force(subject: Subject) -> None:
    plain = generate(subject, prompts(12))
    config = subject.model.generation_config
    assert config is not None
    config.repetition_penalty, config.do_sample, config.temperature, config.max_length = 5.0, True, 9.0, 4
    assert generate(subject, prompts(12)) == plain
    assert subject.model.generation_config is config


def test_no_cache_outlives_a_change_of_weights(subject: Subject) -> None:
    before = generate(subject, prompts(12))
    with torch.no_grad():
        for parameter in subject.model.model.layers[0].parameters():
            parameter.mul_(-1)
    after = generate(subject, prompts(12))
    assert after == [slowly(subject, prompt, NEVER) for prompt in prompts(12)]
    assert after != before


def test_what_is_no_number_is_no_answer(subject: Subject) -> None:
    with torch.no_grad():
        subject.model.model.layers[1].mlp.down_proj.weight[0] = float("nan")
    with pytest.raises(InputError) as caught:
        generate(subject, prompts(4))
    assert caught.value.reason == "NonFinite"


def test_stops_between_tokens(subject: Subject) -> None:
    calls = []

    def between() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise Interrupted("stop")

    with pytest.raises(Interrupted):
        generate_answers(subject.model, subject.tokenizer, prompts(50, count=1), NEVER, Budget(1000), between)
    assert len(calls) == 5
