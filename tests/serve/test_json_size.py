import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.serve import json_size
from t5rank.serve.json_size import large_exponents, longest_number, most_values

TEXTS = st.text('\\",:[{a]}', max_size=8)
VALUES = st.recursive(
    TEXTS | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def structure(value) -> int:
    """Commas, colons and opening brackets."""
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(structure, value))
    if isinstance(value, dict):
        return 1 + len(value) + max(0, len(value) - 1) + sum(map(structure, value.values()))
    return 0


@given(VALUES, st.integers(1, 9), st.booleans())
def test_what_is_in_strings_does_not_count(value, part, spaced):
    text = json.dumps(value, separators=None if spaced else (",", ":")).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_size, "_PART", part)
        assert most_values(text) == 1 + structure(value)


@given(VALUES, st.integers(1, 9))
def test_the_longest_number_is_that_outside_of_strings(value, part):
    text = json.dumps([value, -123456789, "1" * 99 + '\\"'])
    values = re.sub(r'"([^"\\]|\\.)*"', '""', text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_size, "_PART", part)
        assert longest_number(text.encode()) == max(map(len, re.findall(r"[\d.eE+-]+", values)))


def test_no_text_has_no_structure():
    assert most_values(b"") == 1


def test_large_exponents_are_counted_outside_of_strings():
    assert large_exponents(b'[1e300, 2.5E-301, 3e+302, 1e30, "1e300", "e", true, 123]') == 3
