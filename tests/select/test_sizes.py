"""Sizes as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.contracts.errors import SettingsError
from wherry.select.sizes import UNITS, parse_size, say_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 << 30),
        ("8Gi", 8 << 30),
        ("8GB", 8 * 10**9),
        ("512MiB", 512 << 20),
        ("1.5GiB", 3 << 29),
        ("1B", 1),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text, where="--memory") == size


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("8 GB", "Write 8GB."),
        ("8gib", "Write 8GiB."),
        ("8GIB", "Write 8GiB."),
        ("lots", "such as 8GiB"),
        ("8", "such as 8GiB"),
        ("-8GiB", "such as 8GiB"),
        ("nanGiB", "such as 8GiB"),
        ("8XiB", "such as 8GiB"),
        ("", "such as 8GiB"),
        ("0GiB", "memory of the machine"),
        ("999999999999TiB", "memory of the machine"),
        ("٨GiB", "such as 8GiB"),
    ],
)
def test_a_bad_size_is_refused_with_what_was_meant(text: str, meant: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse_size(text, where="--memory")
    assert "--memory" in error.value.message
    assert repr(text) in error.value.message
    assert meant in error.value.remedy


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)))
def test_whole_sizes_are_exact(count: int, unit: str) -> None:
    if count * UNITS[unit] <= 1 << 60:
        assert parse_size(f"{count}{unit}", where="memory") == count * UNITS[unit]


def test_sizes_are_said_for_people() -> None:
    assert say_size(461 << 20) == "461 MiB"
    assert say_size(2.25 * (1 << 30)) == "2.2 GiB"
