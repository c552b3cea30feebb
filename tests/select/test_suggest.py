"""What is suggested, what is not and why, and when an API is better."""

from dataclasses import replace
from pathlib import Path

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import MissingError, SettingsError, UriError
from wherry.select.catalogue import Catalogue, shipped
from wherry.select.run import run, suggestion_for
from wherry.select.settings import Need, Recipe
from wherry.select.step import REASONS, RULES, START, Suggestion, suggest

OURS = shipped()
GIB = 1 << 30
NEED = Need(task="classification", memory=8 * GIB)


def ids(told: Suggestion) -> list[str]:
    return [fit.id for fit in told.fits]


def why(told: Suggestion, model: str) -> tuple[str, ...]:
    return next(misfit.reasons for misfit in told.misfits if misfit.id == model)


def test_every_model_either_fits_or_says_why_not() -> None:
    told = suggest(OURS, NEED)
    assert sorted([*ids(told), *(m.id for m in told.misfits)]) == sorted(OURS.models)
    for misfit in told.misfits:
        assert misfit.reasons
        assert len(misfit.reasons) == len(misfit.details)
        assert all(misfit.details)


def test_the_smallest_that_goes_the_whole_way_comes_first() -> None:
    told = suggest(OURS, NEED)
    assert told.chosen == "smollm2-135m"
    assert not told.prefer_api
    way = [fit.whole_way for fit in told.fits]
    assert way == sorted(way, reverse=True)


def test_the_same_question_gives_the_same_answer() -> None:
    shuffled = Catalogue(dict(reversed(OURS.models.items())))
    assert ids(suggest(OURS, NEED)) == ids(suggest(shuffled, NEED))
    assert suggest(OURS, NEED).to_json() == suggest(OURS, NEED).to_json()


def test_all_that_fits_fits() -> None:
    told = suggest(OURS, replace(NEED, tune_memory=8 * GIB, context=4096))
    assert told.fits
    for fit in told.fits:
        assert fit.serve_bytes <= 8 * GIB
        assert fit.tune_bytes <= 8 * GIB
        assert fit.context >= 4096
        assert fit.terms == "permissive"


def test_a_licence_may_ask_no_more_than_said() -> None:
    permissive, gated, restricted = (
        suggest(OURS, Need(license=terms)) for terms in ("permissive", "gated", "restricted")
    )
    assert why(permissive, "gemma-3-1b") == ("licence",)
    assert "gemma-3-1b" in ids(gated)
    assert why(gated, "orca-2-7b") == ("licence",)
    assert "orca-2-7b" in ids(restricted)
    assert set(ids(permissive)) < set(ids(gated)) < set(ids(restricted))


def test_too_little_memory_says_how_much_is_needed() -> None:
    told = suggest(OURS, replace(NEED, memory=GIB))
    detail = next(m.details[-1] for m in told.misfits if m.id == "mistral-7b")
    assert "GiB as Q8_0 or " in detail
    assert detail.endswith("as Q4_K_M, of 1.0 GiB")


def test_a_smaller_file_type_is_taken_where_the_larger_does_not_fit() -> None:
    types = {fit.id: fit.quantization for fit in suggest(OURS, replace(NEED, memory=6 * GIB)).fits}
    assert types["smollm2-135m"] == "Q8_0"
    assert types["mistral-7b"] == "Q4_K_M"
    told = suggest(OURS, replace(NEED, memory=6 * GIB, quantization="Q8_0"))
    assert why(told, "mistral-7b") == ("serving memory",)


def test_tuning_memory_counts_for_itself() -> None:
    told = suggest(OURS, Need(tune_memory=2 * GIB, recipe=Recipe(batch=4, length=64)))
    assert ids(told) == ["smollm2-135m"]
    assert why(told, "smollm2-1.7b") == ("tuning memory",)


def test_context_and_language_rule_out() -> None:
    told = suggest(OURS, Need(context=10_000, language="de", license="gated"))
    assert why(told, "smollm2-135m") == ("language", "context")
    assert why(told, "phi-4-mini") == ("language",)  # its list was not seen: not taken on trust
    assert {"smollm3-3b", "qwen3-0.6b", "llama-3.2-1b"} <= set(ids(told))


def test_what_llama_cpp_does_not_run_cannot_be_served() -> None:
    assert why(suggest(OURS, Need(license="gated")), "recurrentgemma-2b") == ("server",)


def test_whole_way_leaves_out_what_a_room_cannot_do() -> None:
    told = suggest(OURS, replace(NEED, whole_way=True))
    assert all(fit.whole_way for fit in told.fits)
    assert why(told, "smollm3-3b") == ("rooms",)
    assert "qwen2.5-0.5b" in ids(told)


def test_each_task_has_a_beginning_and_a_model() -> None:
    chosen = {task: suggest(OURS, Need(task=task, license="gated")).chosen for task in START}
    assert chosen["moderation"] == "shieldgemma-2b"
    assert chosen["vision"] == "gemma-3-4b"  # llama.cpp does not know PaliGemma
    assert chosen["code"] == chosen["reasoning"] == "llama-3.2-3b"
    assert chosen["chat"] == "qwen2.5-1.5b"
    assert "codellama-7b" in ids(suggest(OURS, Need(task="code", license="gated")))


@pytest.mark.parametrize(
    ("need", "rule"),
    [
        (Need(memory=64 << 20), "nothing fits"),
        (Need(context=100_000, task="moderation", license="gated"), "long context"),
        (Need(broad=True), "broad"),
        (Need(task="chat", memory=600 << 20), "too small"),
        (Need(rows=10), "few rows"),
        (Need(requests_per_day=20, break_even=500), "seldom"),
    ],
)
def test_a_rule_speaks_for_an_api(need: Need, rule: str) -> None:
    told = suggest(OURS, need)
    assert told.prefer_api
    assert rule in [advice.rule for advice in told.advice]
    assert {advice.rule for advice in told.advice} <= {known.name for known in RULES}


def test_no_rule_speaks_without_a_cause() -> None:
    need = replace(NEED, rows=50, requests_per_day=500, break_even=500)
    assert suggest(OURS, need).advice == ()
    assert suggest(OURS, replace(NEED, requests_per_day=1)).advice == ()


def test_private_data_is_never_sent_to_an_api() -> None:
    told = suggest(OURS, replace(NEED, broad=True, private=True))
    assert not told.prefer_api
    assert [advice.rule for advice in told.advice] == ["broad", "private"]


def test_an_empty_catalogue_suggests_nothing() -> None:
    told = suggest(Catalogue(), NEED)
    assert told.chosen == ""
    assert told.prefer_api


def test_what_was_not_compared_is_marked_on_every_line() -> None:
    told = suggest(OURS, NEED)
    marks = {each.id: each.unverified for each in (*told.fits, *told.misfits)}
    assert marks == {model.id: model.unverified for model in OURS.models.values()}
    assert any(marks.values())


def test_a_suggestion_is_read_back(tmp_path: Path) -> None:
    told = suggestion_for(NEED)
    told.write(tmp_path / "suggestion.json")
    assert Suggestion.read(tmp_path / "suggestion.json") == told


def test_run_writes_the_suggestion_and_gives_the_id(tmp_path: Path) -> None:
    path = tmp_path / "suggestion.json"
    assert run(path, '{"memory": 8589934592}') == "smollm2-135m"
    assert Suggestion.read(path).chosen == "smollm2-135m"


def test_run_fails_if_nothing_fits_and_still_says_why(tmp_path: Path) -> None:
    path = tmp_path / "suggestion.json"
    with pytest.raises(MissingError, match="closest is smollm2-135m"):
        run(path, '{"memory": 1000}')
    assert Suggestion.read(path).misfits


def test_run_takes_a_catalogue_below_the_workspace_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    with pytest.raises(UriError):
        run(tmp_path / "s.json", '{"catalogue": "../own.yaml"}')


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('{"task": "poetry"}', "task must be one of classification"),
        ('{"license": "free"}', "license must be one of permissive, gated, restricted"),
        ('{"memory": -1}', "memory must be at least 0"),
        ('{"context": 1}', "context must be at least 16"),
        ('{"language": "German"}', "such as de"),
        ('{"recipe": {"batch": 0}}', "batch must be at least 1"),
        ('{"recipe": {"method": "magic"}}', "method must be one of lora, full"),
        ('{"recipe": {"length": 8, "completion": 9}}', "completion must be at most length 8"),
        ('{"money": 3}', "unknown field 'money'"),
    ],
)
def test_a_need_that_cannot_be_meant_is_refused(settings: str, told: str) -> None:
    with pytest.raises(SettingsError) as error:
        read_settings(Need, settings)
    assert told in str(error.value)


def test_reasons_have_headings() -> None:
    told = suggest(OURS, Need(memory=GIB, language="de", context=3000, whole_way=True))
    assert {reason for misfit in told.misfits for reason in misfit.reasons} <= set(REASONS)
