"""A measure gives the columns asked for, one row a text, and no text."""

import polars as pl
import pytest

from wherry.contracts.errors import SettingsError
from wherry.text import language as language_module
from wherry.text.language import language
from wherry.text.measure import MEASURES, looks_private, measure, measures
from wherry.text.patterns import Pattern
from wherry.text.repetition import repetition


def test_columns_come_in_the_order_asked_and_nulls_count_as_empty() -> None:
    texts = pl.Series(["ann@example.org", None, "", "\x00"])
    table = measure(texts, ["garbled", "pii_email", "pii"])
    assert table.to_dict(as_series=False) == {
        "garbled": [False, False, False, True],
        "pii_email": [True, False, False, False],
        "pii": [True, False, False, False],
    }


def test_every_measure_has_a_type_that_holds_no_text() -> None:
    table = measure(pl.Series(["ann@example.org wrote a line in plain English"]), MEASURES)
    assert tuple(table.columns) == MEASURES
    others = {name: kind for name, kind in table.schema.items() if kind != pl.Boolean}
    assert others == {"language": pl.String, "repetition": pl.Float64}
    assert "example" not in repr(table.rows())


def test_an_empty_column_gives_an_empty_table() -> None:
    table = measure(pl.Series([], dtype=pl.String), MEASURES)
    assert table.shape == (0, len(MEASURES))


def test_a_column_of_nulls_alone_is_measured() -> None:
    assert measure(pl.Series([None, None]), ["pii", "language"]).row(0) == (False, "und")


def test_language_is_not_loaded_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(languages: frozenset[str]) -> None:
        raise AssertionError

    monkeypatch.setattr(language_module, "_classifier", refuse)
    names = [name for name in MEASURES if name != "language"]
    assert measure(pl.Series(["a text"]), names).height == 1


def test_a_team_s_pattern_has_a_name_of_its_own() -> None:
    badge = Pattern("badge", "B-[0-9]+")
    assert "pii_badge" in measures([badge])
    assert measures([Pattern("mrn", "KH[0-9]+")]) == MEASURES


def test_a_team_s_secret_is_told_apart_from_personal_data() -> None:
    vault = Pattern("vault", "hvs[.][A-Za-z0-9]{24}", sort="secret")
    texts = pl.Series(["hvs." + "aB3" * 8, "plain"])
    names = ["secret_vault", "secret", "pii"]
    assert measure(texts, names, [vault]).rows() == [(True, True, False), (False, False, False)]
    with pytest.raises(ValueError, match="sort must be pii or secret"):
        Pattern("vault", "x", sort="token")  # type: ignore[arg-type]


def test_batches_give_what_the_whole_gives() -> None:
    texts = pl.Series(["a@b.org", "plain", "[INST]", "Tel 030 1234567", "\ufffd"] * 20)
    names = ["pii", "pii_phone", "control_tokens", "garbled", "injection"]
    parts = [measure(texts[at : at + 7], names) for at in range(0, len(texts), 7)]
    assert pl.concat(parts).equals(measure(texts, names))


LANGUAGES = {
    "en": "The patient presents with acute chest pain and shortness of breath.",
    "de": "Der Patient klagt über starke Schmerzen in der Brust und Atemnot.",
    "fr": "Le patient se plaint de fortes douleurs thoraciques.",
    "es": "El paciente presenta dolor agudo en el pecho.",
    "pl": "Pacjent zgłasza ostry ból w klatce piersiowej.",
    "ru": "Пациент жалуется на острую боль в груди.",
    "zh": "患者主诉胸痛和呼吸急促。",
    "ja": "患者は胸の痛みを訴えています。",
    "ar": "يعاني المريض من ألم حاد في الصدر.",
    "hi": "रोगी को सीने में तेज दर्द की शिकायत है।",
}


def test_languages_are_told_apart() -> None:
    texts = pl.Series([*LANGUAGES.values(), LANGUAGES["en"]])
    assert language(texts).to_list() == [*LANGUAGES, "en"]


@pytest.mark.parametrize("text", ["", "E11.9", "knee pain", "12345 67890 12345", "膝痛"])
def test_a_text_too_short_to_tell_is_undetermined(text: str) -> None:
    assert language(pl.Series([text])).to_list() == ["und"]


def test_languages_are_chosen_among_those_named() -> None:
    texts = pl.Series(["Il paziente presenta dolore acuto al petto."])
    assert language(texts, ["de", "it"]).to_list() == ["it"]
    assert language(texts, ["de", "es"]).to_list() == ["es"]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(SettingsError, match="'klingon'"):
        measure(pl.Series(["a text of some length"]), ["language"], languages=["klingon"])


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("no no no no no no no no no no no no", 0.8, 1.0),
        ("The rash is gone. " * 20, 0.9, 1.0),
        ("hahahahahahahahahahahahaha", 0.8, 1.0),
        ("ok" + "!" * 98, 0.9, 1.0),
        ("A line of words and then it breaks " + "a" * 65, 0.6, 0.7),
        ("患者患者患者患者患者患者患者患者患者患者患者", 0.8, 1.0),
        ("The patient has pain in the left knee and in the right hip since May.", 0.0, 0.1),
        ("患者主诉胸痛和呼吸急促，体温正常，血压稳定，无咳嗽。", 0.0, 0.1),
        ("no no no", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_repetition_tells_loops_from_prose(text: str, least: float, most: float) -> None:
    assert least <= repetition(pl.Series([text]))[0] <= most


def test_repetition_of_a_text_does_not_depend_on_its_neighbours() -> None:
    texts = [
        "one two three",
        "four one two three four one two three",
        "x" * 30,
        "a b c d e f g h i",
    ]
    alone = [repetition(pl.Series([text]))[0] for text in texts]
    assert repetition(pl.Series(texts)).to_list() == alone
    assert alone[1] == pytest.approx(2 / 6)


def test_names_that_must_not_be_shown_are_told() -> None:
    names = ["heart", "ann@example.org", "AKIAIOSFODNN7EXAMPLQ", ""]
    assert looks_private(names).to_list() == [False, True, True, False]
    assert looks_private([]).to_list() == []
