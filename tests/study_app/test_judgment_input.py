"""What a judgment may hold: anything else is refused by the name of its field."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study_app.errors import JudgmentInvalid
from study_app.judgment_input import FIELDS, read_judgment


def good() -> dict[str, Any]:
    return {
        "client_uuid": "2f1c7a52-7d0e-4a3a-9a80-0c2b5f8f9d11",
        "trial": "abc",
        "choice": 2,
        "response_ms": 1800,
        "exposure_ms": 1700.0,
        "flips": 3,
        "magnification": 2,
        "device_pixel_ratio": 1.5,
        "viewport": "1440x900",
    }


def test_a_good_judgment_is_read_as_it_was_sent() -> None:
    found = read_judgment(good())
    assert found.client_uuid == uuid.UUID("2f1c7a52-7d0e-4a3a-9a80-0c2b5f8f9d11")
    assert (found.choice, found.response_ms, found.exposure_ms, found.flips) == (2, 1800, 1700, 3)
    assert (found.magnification, found.device_pixel_ratio, found.viewport) == (2.0, 1.5, "1440x900")


BAD: list[tuple[str, Any]] = [
    *[
        ("client_uuid", value)
        for value in (None, 7, "", "abc", "2f1c7a527d0e4a3a9a800c2b5f8f9d11", "x" * 500)
    ],
    *[("trial", value) for value in (None, 1, "", "t" * 65, "a\x00b", "\ud800", "../x", ["a"])],
    *[("choice", value) for value in (0, 3, -1, 1.5, "1", True, None, "a", [1])],
    *[("response_ms", value) for value in (-1, 86_400_001, 0.5, "12", False, None, float("nan"), 10**30)],
    *[("exposure_ms", value) for value in (-1, 1e300, "x", None, float("inf"))],
    *[("flips", value) for value in (-1, 100_001, 2.5, True, {})],
    *[("magnification", value) for value in (0, -1, 65, "1", True, None, float("nan"), float("inf"))],
    *[("device_pixel_ratio", value) for value in (0, 1000, "2", None, float("-inf"))],
    *[("viewport", value) for value in (None, "", "1440", "1440x", "0x900", "a x b", "1440x900 ", "१x२")],
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_value_is_refused_by_the_name_of_its_field(field: str, value: Any) -> None:
    with pytest.raises(JudgmentInvalid) as caught:
        read_judgment(good() | {field: value})
    assert caught.value.field == field
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_named(field: str) -> None:
    body = good()
    del body[field]
    with pytest.raises(JudgmentInvalid, match=rf"^{field}: is missing"):
        read_judgment(body)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(JudgmentInvalid, match=r"^condition: "):
        read_judgment(good() | {"condition": "x"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(json_values | st.fixed_dictionaries(dict.fromkeys(FIELDS, json_values)))
def test_any_json_is_read_or_refused_and_never_anything_else(body: object) -> None:
    try:
        found = read_judgment(body)
    except JudgmentInvalid:
        return
    assert found.choice in (1, 2)
