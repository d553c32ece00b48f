"""Numbers with their nouns."""

import pytest

from jeroboam.kit.words import format_count


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 cores"), (0.5, "0.5 cores"), (1, "1 core"), (1.0, "1 core"), (2, "2 cores")]
)
def test_one_is_no_plural(count, text):
    assert format_count(count, "core") == text
