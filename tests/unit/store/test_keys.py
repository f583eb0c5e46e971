"""Keys stay below their prefix."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autollm.errors import InputError
from autollm.store.keys import check_key, check_prefix, is_key

_SEGMENTS = st.text(st.sampled_from("ab.-_ ä\x00\n\\"), max_size=4) | st.sampled_from(["..", ".", ".autollm-lock"])


@given(st.lists(_SEGMENTS, max_size=5).map("/".join))
def test_a_key_that_passes_names_one_place_below_the_prefix(key: str) -> None:
    if not is_key(key):
        with pytest.raises(InputError, match="the key"):
            check_key(key)
        return
    path = PurePosixPath("/prefix", key)
    assert str(path) == f"/prefix/{key}"  # nothing was normalised away, so two keys never name one place
    assert ".." not in path.parts
    assert check_prefix(f"{key}/") == f"{key}/"


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("", "is empty"),
        ("/a", "is absolute"),
        ("a//b", "has an empty segment"),
        ("a/../b", "has a segment . or .."),
        ("a\tb", "has a control character"),
        ("a\udcff", "is no text"),
        ("a/.autollm-1.tmp", "which is reserved"),
        ("ä" * 513, "longer than 1024 bytes"),
    ],
)
def test_the_fault_is_named(key: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        check_key(key)
    assert repr(key) in str(caught.value)
    assert caught.value.reason == "InvalidKey"


def test_a_prefix_may_be_empty_or_end_anywhere() -> None:
    assert [check_prefix(prefix) for prefix in ("", "a", "a/", "a/b")] == ["", "a", "a/", "a/b"]
    for prefix in ("/", "a//", "../"):
        with pytest.raises(InputError):
            check_prefix(prefix)
