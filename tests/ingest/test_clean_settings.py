"""Wrong settings of ingest are refused by name, with the choices."""

import json
from pathlib import Path
from typing import Any

import pytest

from wherry.contracts import read_settings
from wherry.contracts.errors import SettingsError
from wherry.ingest.clean.settings import STEPS, Cap, RedactPii, name_of
from wherry.ingest.settings import IngestSettings, Quarantine


def read(**values: Any) -> IngestSettings:
    return read_settings(IngestSettings, values)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"drop_dupes": {}}, "drop_duplicates, drop_near_duplicates"),
        ({"cap": {"per_lable": 5}}, "'per_lable', expected one of per_label, seed, splits"),
        ({"cap": {"per_label": 0}}, "per_label must be 1 or more, got 0"),
        ({"cap": {}}, "per_label must be 1 or more, got 0"),
        ({"cap": {"per_label": 5, "splits": []}}, "splits must name a split"),
        ({"balance": {"ratio": 0.5}}, "ratio must be 1 or more, got 0.5"),
        ({"normalise_unicode": {"form": "NFD"}}, "'NFD'.*expected one of NFC, NFKC"),
        ({"redact_pii": {"patterns": ["emial"]}}, "'emial', expected one of email, phone"),
        ({"redact_pii": {"patterns": []}}, "patterns must name one"),
        ({"redact_pii": {"extra": [{"name": "email", "regex": "x"}]}}, "a name of your own"),
        ({"redact_pii": {"extra": [{"name": "badge", "regx": "x"}]}}, "'regx'"),
        ({"drop_near_duplicates": {"threshold": 1.5}}, r"threshold must be in \[0.5, 1\], got 1.5"),
        ({"drop_duplicates": {"by": "id"}}, "'id'.*expected one of prompt, row"),
        ({"drop_too_long": {}}, "one of tokens and characters"),
        ({"drop_too_long": {"tokens": 5, "characters": 5}}, "one of tokens and characters"),
        ({"truncate": {"tokens": 512}}, "tokens and tokenizer go together"),
        ({"truncate": {"characters": 9, "tokenizer": "t.json"}}, "tokens and tokenizer"),
        ({"strip_control": {}, "cap": {}}, "one name with its parameters"),
        ({}, "one name with its parameters"),
    ],
)
def test_a_wrong_step_is_refused(step: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        read(clean=[{"strip_control": None}, step])
    assert "entry 2 of `clean`" in refused.value.remedy


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"split": {"by": "label"}, "files": {"all": "a.csv"}}, "'label'.*expected one of group"),
        ({"split": {"evel": 0.1}, "files": {"all": "a.csv"}}, "'evel', expected one of by, eval"),
        ({"split": {"eval": 1.0}, "files": {"all": "a.csv"}}, r"split.eval must be in \[0, 1\)"),
        ({"split": {"eval": 0.6, "test": 0.6}, "files": {"all": "a"}}, "must add up"),
        ({"split": {"test": 0}, "files": {"all": "a.csv"}}, "split makes train, eval"),
        ({"split": {}}, "split needs files.all"),
        ({"split": {}, "files": {"train": "a.csv"}}, "files.train, expected one of all"),
        ({"files": {"all": "a.csv"}}, r"files.all, .*needs `split`"),
        ({"splits": ["train"], "files": {"test": "a.csv"}}, "files.test, expected one of train"),
        ({"splits": ["train", "train"]}, "each split once"),
        ({"files": {"train": "../a.csv"}}, "files.train must stay inside"),
        ({"files": {"train": ""}}, "files.train must name a file"),
        ({"columns": {"question": "q"}}, "'question', expected one of chosen, completion"),
        ({"columns": {"prompt": "a..b"}}, "prompt must be a name or a dotted path"),
        ({"quarantine": {"rows": -1}}, "quarantine.rows must be 0 or more, got -1"),
        ({"quarantine": {"share": 1.0}}, r"quarantine.share must be in \[0, 1\), got 1"),
        ({"kind": "poem"}, "'poem'.*expected one of instruction, chat, preference, text, traffic"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read(**values)


def test_steps_are_read_in_their_order_with_their_defaults() -> None:
    settings = read(clean=[{"redact_pii": None}, {"cap": {"per_label": 5}}])
    redact, cap = settings.steps
    assert isinstance(redact, RedactPii)
    assert redact.patterns == ("email", "phone", "card", "iban", "ssn", "ip", "mrn")
    assert cap == Cap(per_label=5)
    assert [name_of(step) for step in settings.steps] == ["redact_pii", "cap"]


def test_only_files_that_are_splits_already_are_kept_as_they_are() -> None:
    assert read().verbatim
    assert read(files={"train": "train.jsonl"}).verbatim
    assert read(quarantine={"rows": 5}).verbatim
    for change in (
        {"files": {"train": "rows.jsonl"}},
        {"columns": {"prompt": "q"}},
        {"clean": [{"strip_control": {}}]},
        {"files": {"all": "a.jsonl"}, "split": {}},
    ):
        assert not read(**change).verbatim


@pytest.mark.parametrize(
    ("limit", "rows", "allowed"),
    [
        (Quarantine(), 1000, 0),
        (Quarantine(rows=5), 10, 5),
        (Quarantine(share=0.01), 1000, 10),
        (Quarantine(share=0.01), 99, 0),
        (Quarantine(share=0.29), 100, 29),
        (Quarantine(rows=5, share=0.01), 1000, 10),
    ],
)
def test_the_greater_limit_of_the_quarantine_counts(
    limit: Quarantine, rows: int, allowed: int
) -> None:
    assert limit.allowed(rows) == allowed


def test_every_step_has_words_for_each_of_its_parameters() -> None:
    readme = Path("components/wherry/ingest/README.md").read_text()
    for name, kind in STEPS.items():
        assert f"| `{name}` |" in readme
        for parameter in kind.__dataclass_fields__:
            assert f"`{parameter}`" in readme, f"{name}.{parameter}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"path": "../x"}', "path must stay inside"),
        ('{"folder": "/etc"}', "folder must stay inside"),
        ('{"splits": ["test"]}', "splits must include train"),
        ('{"foldr": "icd10"}', "unknown field 'foldr'"),
    ],
)
def test_a_wrong_place_is_refused(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        read_settings(IngestSettings, text)


def test_settings_survive_json() -> None:
    text = json.dumps({"folder": "icd10", "splits": ["train", "test"]})
    assert read_settings(IngestSettings, text).splits == ("train", "test")
