"""Settings of quantizing."""

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.quantize.settings import FOR_GPUS, LIMITS, QuantizeSettings
from wherry.quantize.tensor_types import BASE_TYPES


def test_no_text_means_q8_0_with_its_own_limits() -> None:
    settings = read_settings(QuantizeSettings, "")
    assert settings.type == "Q8_0"
    assert settings.limits_of("Q8_0") == LIMITS["Q8_0"]


def test_a_limit_that_is_given_replaces_the_types_own() -> None:
    settings = read_settings(QuantizeSettings, '{"type": "Q4_K_M", "max_kl": 0.5}')
    assert settings.limits_of("Q4_K_M").max_kl == 0.5
    assert settings.limits_of("Q4_K_M").min_agreement == LIMITS["Q4_K_M"].min_agreement


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "Q9_9"}', r"type must be one of F16, BF16, Q8_0, .*, got 'Q9_9'"),
        ('{"type": "IQ2_XS"}', r"type must be one of .*, Q2_K, INT8, INT4, got 'IQ2_XS'"),
        ('{"min_agreement": 1.4}', r"min_agreement must be in \[0, 1\], got 1.4"),
        ('{"max_kl": -1}', "max_kl must be at least 0, got -1"),
        ('{"rows": 0}', "rows must be at least 1, got 0"),
        ('{"kind": "Q8_0"}', "unknown field 'kind'"),
        ('{"types": ["Q8_0", "Q9"]}', r"types must be one of F16, .*, got 'Q9'"),
        ('{"types": ["Q8_0", "Q8_0"]}', "types must name each type once, got Q8_0, Q8_0"),
        ('{"types": ["Q8_0"], "pick": "Q4_0"}', "pick must be one of smallest .*, got 'Q4_0'"),
        ('{"pick": "fastest"}', "pick must be one of smallest that passes, Q8_0, got 'fastest'"),
        ('{"type": "IQ3_XXS", "importance_rows": 0}', "at least 1 for IQ3_XXS, got 0"),
        ('{"max_task_loss": 0.1}', "max_task_loss needs task_rows of at least 1, got 0"),
        (
            '{"adapter_only": true, "types": ["Q8_0", "Q6_K"]}',
            "leave types and pick out, got Q8_0, Q",
        ),
        ('{"adapter_only": true, "pick": "Q8_0"}', "leave types and pick out, got Q8_0"),
        ('{"max_perplexity_change": -1}', "max_perplexity_change must be at least 0"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_settings(QuantizeSettings, text)


def test_one_type_costs_no_more_than_it_did() -> None:
    settings = read_settings(QuantizeSettings, "")
    assert settings.tried == ("Q8_0",)
    assert (settings.scored_rows, settings.timed_runs, settings.weighed) == (0, 0, False)


def test_several_types_are_scored_timed_and_weighed() -> None:
    settings = read_settings(QuantizeSettings, '{"types": ["Q8_0", "IQ4_XS"]}')
    assert settings.tried == ("Q8_0", "IQ4_XS")
    assert (settings.scored_rows, settings.timed_runs, settings.weighed) == (64, 3, True)


def test_every_type_that_can_be_made_has_limits_and_the_other_way_round() -> None:
    assert {*BASE_TYPES, *FOR_GPUS} == set(LIMITS)
