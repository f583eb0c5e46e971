"""What is learned of a record, and that training sees the tokens that serving sees."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from autollm.contract.manifests import Message
from autollm.errors import InputError
from autollm_runtime.text.encoding import Encoded, Encoder
from support.tiny_model import CHAT_TEMPLATE, make_tiny_tokenizer

SYSTEM_BY_DEFAULT = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
) + CHAT_TEMPLATE.removeprefix("{% for message in messages %}")
FORGETS_EARLIER_ANSWERS = CHAT_TEMPLATE.replace(
    "message['content']", "('...' if message['role'] == 'assistant' and not loop.last else message['content'])"
)
ASKS_FOR_THOUGHTS = CHAT_TEMPLATE.replace("{{ '<|im_start|>assistant\n' }}", "{{ '<|im_start|>assistant\n<think>' }}")
NEVER_CLOSES = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def encoder(template: str | None = CHAT_TEMPLATE) -> Encoder:
    tokenizer = make_tiny_tokenizer(chat=False)
    tokenizer.chat_template = template
    return Encoder(tokenizer, 200)


def learned(tokenizer: PreTrainedTokenizerFast, encoded: Encoded) -> list[str]:
    """The learned spans as text."""
    spans: list[list[int]] = []
    before = False
    for token, wanted in zip(encoded.ids, encoded.mask, strict=True):
        if wanted and not before:
            spans.append([])
        if wanted:
            spans[-1].append(token)
        before = wanted
    return [str(tokenizer.decode(span)) for span in spans]


def user(content: str) -> Message:
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    return Message(role="assistant", content=content)


TOKENIZER = make_tiny_tokenizer()
CHAT = [Message(role="system", content="S"), user("1+1?"), assistant("2"), user("and 2+2?"), assistant("4 of course")]


def test_every_answer_is_learned_with_its_end_and_nothing_else() -> None:
    assert learned(TOKENIZER, encoder().messages(CHAT)) == ["2<|im_end|>", "4 of course<|im_end|>"]


def test_an_answer_is_learned_alone() -> None:
    assert learned(TOKENIZER, encoder().answer(CHAT[:4], "4 of course")) == ["4 of course<|im_end|>"]


def test_labels_are_the_ids_where_learned() -> None:
    encoded = encoder().answer([user("hi")], "ho")
    assert encoded.labels[-3:] == encoded.ids[-3:]
    assert set(encoded.labels[:-3]) == {-100}
    assert encoded.learned == 3


def test_a_turn_after_the_last_answer_is_left_out() -> None:
    assert encoder().messages([user("a"), assistant("b"), user("c")]) == encoder().messages([user("a"), assistant("b")])


def test_the_templates_own_system_message_is_in_the_prompt() -> None:
    encoded = encoder(SYSTEM_BY_DEFAULT).answer([user("hi")], "ho")
    assert str(TOKENIZER.decode(encoded.ids)).startswith("<|im_start|>system\nBe brief.<|im_end|>")
    own = encoder(SYSTEM_BY_DEFAULT).answer([Message(role="system", content="Mine."), user("hi")], "ho")
    assert "Be brief." not in str(TOKENIZER.decode(own.ids))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60)
@given(
    texts, st.lists(st.tuples(texts, texts), min_size=1, max_size=3), st.sampled_from([CHAT_TEMPLATE, SYSTEM_BY_DEFAULT, ASKS_FOR_THOUGHTS])
)
def test_every_answer_stands_behind_the_tokens_that_serving_asks_with(system: str, turns: list[tuple[str, str]], template: str) -> None:
    chat = [Message(role="system", content=system)]
    for question, reply in turns:
        chat += [user(question), assistant(reply)]
    made = encoder(template)
    encoded = made.messages(chat)
    served = made.prompt(chat[:-1])
    assert encoded.ids[: len(served)] == served
    assert encoded.mask[len(served) :] == [True] * (len(encoded) - len(served))
    assert encoded.ids[-1] in made.stop_ids


def test_where_earlier_turns_are_rendered_otherwise_only_the_last_answer_is_learned() -> None:
    made = encoder(FORGETS_EARLIER_ANSWERS)
    encoded = made.messages(CHAT)
    assert learned(TOKENIZER, encoded) == ["4 of course<|im_end|>"]
    assert encoded.ids[: len(made.prompt(CHAT[:-1]))] == made.prompt(CHAT[:-1])


def test_a_template_that_asks_otherwise_than_it_writes_is_asked_as_served() -> None:
    made = encoder(ASKS_FOR_THOUGHTS)
    encoded = made.answer([user("hi")], "ho")
    assert encoded.ids[: len(made.prompt([user("hi")]))] == made.prompt([user("hi")])
    assert learned(TOKENIZER, encoded) == ["ho<|im_end|>"]


def test_an_answer_that_the_template_leaves_open_is_closed() -> None:
    assert encoder(NEVER_CLOSES).messages([user("hi"), assistant("ho")]).ids[-1] == TOKENIZER.eos_token_id


def test_the_templates_closing_token_stops_beside_the_end_of_sequence() -> None:
    tokenizer = make_tiny_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    made = Encoder(tokenizer, 200)
    assert made.stop_ids == {0, 2}
    assert learned(tokenizer, made.messages([user("hi"), assistant("ho")])) == ["ho<|im_end|>"]


def test_a_document_ends_with_its_end_and_its_first_token_is_not_scored() -> None:
    encoded = encoder(None).text("abc")
    assert str(TOKENIZER.decode(encoded.ids)) == "abc<|im_end|>"
    assert encoded.mask == [False, True, True, True]


def test_nothing_is_cut() -> None:
    encoded = encoder().text("x" * 200)
    assert len(encoded) == 201
    assert not encoder().fits(encoded)
    assert encoder().fits(encoder().text("x" * 199))


def test_chats_without_a_template_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"chat_template\.jinja") as refused:
        encoder(None).messages(CHAT)
    assert refused.value.reason == "NoChatTemplate"
    assert encoder(None).stop_ids == frozenset({TOKENIZER.eos_token_id})


def test_a_record_without_an_answer_is_refused() -> None:
    with pytest.raises(InputError, match="no turn of the assistant"):
        encoder().messages([user("hi")])


def test_what_the_template_refuses_is_the_records_fault() -> None:
    with pytest.raises(InputError, match="roles must alternate") as refused:
        encoder("{{ raise_exception('roles must alternate') }}").messages(CHAT)
    assert refused.value.reason == "TemplateRefused"


def test_a_tokenizer_without_an_end_is_refused() -> None:
    tokenizer = make_tiny_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="eos_token"):
        Encoder(tokenizer, 200)
