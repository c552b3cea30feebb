"""Settings of an evaluation."""

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.evaluate.settings import EvaluateSettings


def test_no_text_means_the_test_split() -> None:
    assert read_settings(EvaluateSettings, "").split == "test"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"resamples": 10}', "resamples must be at least 100, got 10"),
        ('{"batch_size": 0}', "batch_size must be at least 1, got 0"),
        ('{"context": 16, "max_new_tokens": 16}', "context must be at least 17, got 16"),
        ('{"split": ""}', "split must name a split"),
        ('{"spilt": "test"}', "spilt"),
        ('{"endpoint": {"reasoning": true}}', "max_new_tokens must be at least 256 .*, got 8"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(EvaluateSettings, text)
