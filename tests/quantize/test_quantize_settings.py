"""Settings of quantizing."""

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.quantize.settings import LIMITS, QuantizeSettings


def test_no_text_means_q8_0_with_its_own_limits() -> None:
    settings = read_settings(QuantizeSettings, "")
    assert settings.type == "Q8_0"
    assert settings.limits == LIMITS["Q8_0"]


def test_a_limit_that_is_given_replaces_the_types_own() -> None:
    settings = read_settings(QuantizeSettings, '{"type": "Q4_K_M", "max_kl": 0.5}')
    assert settings.limits.max_kl == 0.5
    assert settings.limits.min_agreement == LIMITS["Q4_K_M"].min_agreement


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "Q9_9"}', r"type must be one of F16, Q8_0, .*, got 'Q9_9'"),
        ('{"min_agreement": 1.4}', r"min_agreement must be in \[0, 1\], got 1.4"),
        ('{"max_kl": -1}', "max_kl must be at least 0, got -1"),
        ('{"rows": 0}', "rows must be at least 1, got 0"),
        ('{"kind": "Q8_0"}', "unknown field 'kind'"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(QuantizeSettings, text)
