"""A recipe that cannot work is refused before anything is loaded."""

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.tune.settings import TuneSettings


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("learning_rate", 0, "in \\[1e-07, 1\\], got 0"),
        ("batch_size", 0, "at least 1, got 0"),
        ("warmup", 1.4, "in \\[0, 1\\], got 1.4"),
        ("epochs", 0, "at least 1"),
        ("targets", [], "got none"),
        ("rank", -8, "got -8"),
    ],
)
def test_a_wrong_setting_names_its_value_and_its_range(
    field: str, value: object, expected: str
) -> None:
    with pytest.raises(SettingsError, match=f"{field} must .*{expected}"):
        read_settings(TuneSettings, {field: value})


def test_the_defaults_are_a_valid_recipe() -> None:
    assert read_settings(TuneSettings, "") == TuneSettings()


def test_virtual_tokens_of_a_cache_are_not_left_out_by_recomputing() -> None:
    with pytest.raises(SettingsError, match="recompute must be false where method is prefix"):
        read_settings(TuneSettings, {"method": "prefix", "recompute": True})
    assert read_settings(TuneSettings, {"method": "prompt", "recompute": True}).recompute
