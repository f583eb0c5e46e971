"""Every format people have becomes the same three shapes."""

from __future__ import annotations

from typing import Any

import pytest

from autollm.resources.sources import ColumnMap, FileFormat
from autollm_runtime.prepare.contents import Chat, Choice, Content, Document
from autollm_runtime.prepare.formats import layout_of, mapped_parts, recognise
from autollm_runtime.prepare.place import RefusedError, UnusableError

Row = dict[str, Any]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def read(row: Row, stated: FileFormat = "Auto", columns: dict[str, str] | None = None) -> Content:
    return layout_of(row, stated, mapped_parts(None if columns is None else ColumnMap.model_validate(columns))).parse(row)


CHAT = Chat([user("2+2?"), assistant("4")])
LAYOUTS: list[tuple[FileFormat, Row, Content]] = [
    ("Alpaca", {"instruction": "2+2?", "input": "", "output": "4"}, CHAT),
    ("Alpaca", {"instruction": "Add.", "input": "2 2", "output": "4"}, Chat([user("Add.\n\n2 2"), assistant("4")])),
    (
        "Alpaca",
        {"instruction": "And 3+3?", "output": "6", "system": "Be brief.", "history": [["2+2?", "4"]]},
        Chat([system("Be brief."), user("2+2?"), assistant("4"), user("And 3+3?"), assistant("6")]),
    ),
    ("Dolly", {"instruction": "Sum?", "context": "2, 2", "response": "4", "category": "qa"}, Chat([user("Sum?\n\n2, 2"), assistant("4")])),
    ("ShareGPT", {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}, CHAT),
    ("ShareGPT", {"conversations": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}], "id": 1}, CHAT),
    ("Messages", {"messages": [user("2+2?"), assistant("4")]}, CHAT),
    ("Messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}, assistant("4")]}, CHAT),
    (
        "Messages",
        {"messages": [{"role": "developer", "content": "Be brief."}, user("2+2?"), assistant("4")]},
        Chat([system("Be brief."), *CHAT.messages]),
    ),
    ("Messages", {"messages": '[{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]'}, CHAT),
    ("PromptCompletion", {"prompt": "2+2?", "completion": "4"}, CHAT),
    ("PromptCompletion", {"prompt": [user("2+2?")], "completion": [assistant("4")]}, CHAT),
    ("PromptCompletion", {"question": "2+2?", "answer": 4}, CHAT),
    ("PromptCompletion", {"query": "2+2?", "response": "4"}, CHAT),
    ("PromptCompletion", {"input": "2+2?", "output": "4"}, CHAT),
    ("PromptCompletion", {"question": "Sum?", "context": "2, 2", "answer": "4"}, Chat([user("Sum?\n\n2, 2"), assistant("4")])),
    ("KTO", {"prompt": "2+2?", "completion": "4", "label": True}, CHAT),
    ("KTO", {"prompt": "2+2?", "completion": "4", "label": "true"}, CHAT),
    ("Preference", {"prompt": "2+2?", "chosen": "4", "rejected": "5"}, Choice([user("2+2?")], "4", "5")),
    ("Preference", {"prompt": [user("2+2?")], "chosen": [assistant("4")], "rejected": [assistant("5")]}, Choice([user("2+2?")], "4", "5")),
    (
        "Preference",
        {"chosen": [user("2+2?"), assistant("4")], "rejected": [user("2+2?"), assistant("5")]},
        Choice([user("2+2?")], "4", "5"),
    ),
    (
        "Preference",
        {"prompt": "2+2?", "chosen": [user("2+2?"), assistant("4")], "rejected": [user("2+2?"), assistant("5")], "messages": []},
        Choice([user("2+2?")], "4", "5"),
    ),
    (
        "Preference",
        {"system": "Be brief.", "question": "2+2?", "chosen": "4", "rejected": "5"},
        Choice([system("Be brief."), user("2+2?")], "4", "5"),
    ),
    ("Preference", {"instruction": "Sum?", "input": "2, 2", "chosen": "4", "rejected": "5"}, Choice([user("Sum?\n\n2, 2")], "4", "5")),
    (
        "Preference",
        {
            "conversations": [{"from": "human", "value": "2+2?"}],
            "chosen": {"from": "gpt", "value": "4"},
            "rejected": {"from": "gpt", "value": "5"},
        },
        Choice([user("2+2?")], "4", "5"),
    ),
    (
        "HHRLHF",
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: 2+2?\n\nAssistant: 4",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: 2+2?\n\nAssistant: 5",
        },
        Choice([user("Hi"), assistant("Hello"), user("2+2?")], "4", "5"),
    ),
    ("Text", {"text": " A whole text.\n"}, Document(" A whole text.\n")),
]


@pytest.mark.parametrize(("name", "row", "content"), LAYOUTS, ids=[f"{name}-{index}" for index, (name, _, _) in enumerate(LAYOUTS)])
def test_layouts_are_recognised_and_read(name: FileFormat, row: Row, content: Content) -> None:
    assert recognise(row) == name
    assert read(row) == content
    assert read(row, name) == content


@pytest.mark.parametrize(
    ("row", "columns", "content"),
    [
        ({"q": "2+2?", "a": "4"}, {"prompt": "q", "completion": "a"}, CHAT),
        ({"q": "2+2?", "completion": "4"}, {"prompt": "q"}, CHAT),
        (
            {"q": "2+2?", "a": "4", "s": "Be brief."},
            {"prompt": "q", "completion": "a", "system": "s"},
            Chat([system("Be brief."), *CHAT.messages]),
        ),
        ({"dialog": [user("2+2?"), assistant("4")]}, {"messages": "dialog"}, CHAT),
        ({"q": "2+2?", "good": "4", "bad": "5"}, {"prompt": "q", "chosen": "good", "rejected": "bad"}, Choice([user("2+2?")], "4", "5")),
        ({"body": "Text.", "text": "other"}, {"text": "body"}, Document("Text.")),
    ],
)
def test_mapped_columns_come_first(row: Row, columns: dict[str, str], content: Content) -> None:
    assert read(row, columns=columns) == content


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "", "completion": "4"}, "Empty"),
        ({"prompt": None, "completion": "4"}, "Empty"),
        ({"prompt": "2+2?", "completion": " \n"}, "EmptyCompletion"),
        ({"prompt": "2+2?", "completion": None}, "EmptyCompletion"),
        ({"text": "  "}, "Empty"),
        ({"text": ["a", "b"]}, "NotText"),
        ({"text": True}, "NotText"),
        ({"messages": []}, "Empty"),
        ({"messages": None}, "Empty"),
        ({"messages": [user("2+2?")]}, "NoAnswer"),
        ({"messages": [user("Hi"), assistant(""), user("2+2?"), assistant("4")]}, "EmptyCompletion"),
        ({"messages": [user("Hi"), system("late"), assistant("4")]}, "RoleOrder"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, assistant("4")]}, "NotText"),
        ({"prompt": "2+2?", "chosen": "4", "rejected": " 4 "}, "ChosenEqualsRejected"),
        ({"prompt": "2+2?", "chosen": "", "rejected": "5"}, "EmptyCompletion"),
        ({"prompt": "2+2?", "chosen": [], "rejected": [assistant("5")]}, "NoAnswer"),
        ({"chosen": [user("2+2?"), assistant("4")], "rejected": [user("2+3?"), assistant("5")]}, "PromptsDiffer"),
        ({"prompt": "2+2?", "completion": "5", "label": False}, "Undesirable"),
        ({"prompt": "2+2?", "completion": "5", "label": "0"}, "Undesirable"),
    ],
)
def test_a_record_that_cannot_be_used_is_dropped_under_a_reason(row: Row, reason: str) -> None:
    with pytest.raises(UnusableError) as caught:
        read(row)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "stated", "columns", "reason", "words"),
    [
        ({"a": 1, "b": 2}, "Auto", {}, "UnknownFormat", "'a', 'b'"),
        ({"instruction": "x"}, "Alpaca", {}, "MissingColumn", "'output'"),
        ({"prompt": "x"}, "Auto", {"completion": "reply"}, "MissingColumn", "map.completion"),
        ({"chosen": "a", "rejected": "b"}, "Auto", {}, "MissingColumn", "'prompt'"),
        ({"messages": [{"content": "x"}]}, "Auto", {}, "MissingRole", "no role"),
        ({"prompt": "x", "completion": {"answer": 4}}, "Auto", {}, "MissingRole", "'completion'"),
        ({"prompt": "x", "chosen": {"answer": 4}, "rejected": "y"}, "Auto", {}, "MissingRole", "'chosen'"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "Auto", {}, "UnknownRole", "'wizard'"),
        ({"messages": "hello"}, "Auto", {}, "NotMessages", "a text"),
        ({"messages": ["hello"]}, "Auto", {}, "NotMessages", "a text"),
        ({"prompt": "x", "completion": "y", "label": "maybe"}, "Auto", {}, "UnknownLabel", "'maybe'"),
        ({"chosen": "Hi", "rejected": "Ho"}, "HHRLHF", {}, "NotMessages", "Human:"),
    ],
)
def test_a_row_that_shows_a_mistake_refuses_the_file(
    row: Row, stated: FileFormat, columns: dict[str, str], reason: str, words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        read(row, stated, columns)
    assert caught.value.reason == reason


def test_a_row_of_another_format_is_called_mixed() -> None:
    layout = layout_of({"instruction": "a", "output": "b"}, "Auto", {})
    with pytest.raises(RefusedError, match="Messages, while the file began as Alpaca") as caught:
        layout.parse({"messages": [user("a"), assistant("b")]})
    assert caught.value.reason == "MixedFormats"


def test_a_row_without_a_column_of_the_first_one_is_refused() -> None:
    layout = layout_of({"instruction": "a", "output": "b"}, "Auto", {})
    with pytest.raises(RefusedError, match="no column 'output'"):
        layout.parse({"instruction": "a", "comment": "b"})


def test_tool_calls_and_their_results_become_text() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
    messages = [
        user("2+2?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "4"},
        assistant("4"),
    ]
    content = read({"messages": messages})
    assert isinstance(content, Chat)
    assert content.messages[1] == assistant('<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 2}}\n</tool_call>')
    assert content.messages[2] == {"role": "tool", "content": "4"}
