from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.errors import InputError
from autollm.resources.evaluation import Match
from autollm_runtime.evaluate.metrics.match import agrees, check_pattern, first_object, fits, last_number

CONTAINS = Match(kind="Contains")
NUMBER = Match(kind="Number")
REGEX = Match(kind="Regex", pattern=r"answer is (\w+)")
FIELDS = Match(kind="JSONFields", fields=["name", "age"])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", "42"),
        ("The answer is 42.", "42"),
        ("first 3, then -1.5", "-1.5"),
        ("$1,234,567.50 in all", "1234567.50"),
        ("about .5", "0.5"),
        ("−7 degrees", "-7"),
        ("6.02e23", "6.02e23"),
        ("5%", "5"),
        ("12kg", "12"),
        ("2 or 1,2,3", "3"),
        ("10-3", "3"),
        ("x2", None),
        ("none", None),
        ("", None),
    ],
)
def test_reads_the_last_number(text: str, number: str | None) -> None:
    assert last_number(text) == (None if number is None else Decimal(number))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_reads_any_number_however_it_is_grouped(number: Decimal) -> None:
    assert last_number(f"It is {number:f}.") == number
    assert last_number(f"It is {number:,f}.") == number


@pytest.mark.parametrize(
    ("rule", "answer", "reference", "expected"),
    [
        (CONTAINS, "It is the  Eiffel\nTower, of course", "the Eiffel tower", True),
        (CONTAINS, "It is the Louvre", "Eiffel", False),
        (NUMBER, "so we get 7.0", "3 + 4 = 7", True),
        (NUMBER, "so we get 7.1", "3 + 4 = 7", False),
        (NUMBER, "no idea", "7", False),
        (REGEX, "I say the answer is yes, no: the answer is no", "answer is no", True),
        (REGEX, "the answer is yes", "answer is no", False),
        (REGEX, "yes", "answer is yes", False),
        (FIELDS, 'Here: {"age": 3.0, "name": "Ann", "more": 1} ok', '{"name": "Ann", "age": 3}', True),
        (FIELDS, '{"name": "Ann"}', '{"name": "Ann", "age": 3}', False),
        (FIELDS, '{"name": "Bob", "age": 3}', '{"name": "Ann", "age": 3}', False),
        (FIELDS, '{"name": "Ann", "age": 3', '{"name": "Ann", "age": 3}', False),
    ],
)
def test_agreement(rule: Match, answer: str, reference: str, expected: bool) -> None:
    assert agrees(rule, answer, reference) is expected


@given(st.text(max_size=60), st.sampled_from([CONTAINS, NUMBER, REGEX, FIELDS]))
def test_every_reference_that_fits_agrees_with_itself(text: str, rule: Match) -> None:
    for reference in (text, f"{text} 12", f"{text} answer is a", f'{text} {{"name": 1, "age": null}}'):
        assert not fits(rule, reference) or agrees(rule, reference, reference)


@pytest.mark.parametrize(
    ("rule", "reference"), [(CONTAINS, "  "), (NUMBER, "seven"), (REGEX, "no"), (FIELDS, '{"name": "Ann"}'), (FIELDS, "[1]")]
)
def test_a_reference_without_what_is_compared_does_not_fit(rule: Match, reference: str) -> None:
    assert not fits(rule, reference)


def test_the_first_whole_object_counts() -> None:
    assert first_object('{broken {"a": {"b": 1}} {"c": 2}') == {"a": {"b": 1}}
    assert first_object("{" * 5000) is None


def test_a_group_that_took_no_part_is_empty() -> None:
    assert agrees(Match(kind="Regex", pattern="(a)?b"), "b", "b")


def test_a_pattern_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match=r"pattern '\(' of metric 'answers'"):
        check_pattern(Match(kind="Regex", pattern="("), "answers")
