"""Ingest from a folder to a sealed data set: every kind, from a team's own files and columns."""

import gzip
import json
import random
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pytest
import zstandard

from tests.fakes.rows import chat, lines, row, rows, splits, write
from wherry.contracts import Dataset, Manifest, Row, SetAside, digest_file
from wherry.contracts.dataset import DATASET_NAME, QUARANTINE_NAME
from wherry.contracts.errors import DataError, FormatError, MissingError, SettingsError
from wherry.entry import main
from wherry.ingest.adapters.folder import FolderStore
from wherry.ingest.run import run
from wherry.ingest.step import TrackedFile


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a folder for data."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path / ".wherry"))
    (tmp_path / "data").mkdir()
    return tmp_path


def take(place: Path, out: str = "out", **settings: Any) -> Dataset:
    """Ingests the folder and checks what must hold of every data set."""
    chosen = {"path": ".", **settings}
    run(place / out, "file:data", settings=json.dumps(chosen))
    Manifest.verified(place / out)
    dataset = Dataset.read(place / out / DATASET_NAME)
    for split in dataset.splits:
        assert split.digest == digest_file(place / out / split.file)
        assert len(dataset.rows(place / out, split.name)) == split.rows
    files = Manifest.read(place / out / "manifest.json").files
    assert Manifest(tuple(f for f in files if f.path != DATASET_NAME)).digest == dataset.digest
    return dataset


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def found(place: Path, dataset: Dataset, split: str = "train") -> list[Row]:
    return dataset.rows(place / "out", split)


def test_files_that_are_splits_already_keep_their_bytes(place: Path) -> None:
    write(place / "data", splits())
    (place / "data" / "notes.txt").write_text("kept")
    odd = lines(rows(3)).replace(b'": "', b'":   "')
    (place / "data" / "train.jsonl").write_bytes(odd)
    dataset = take(place)
    assert (place / "out" / "train.jsonl").read_bytes() == odd
    assert names(place / "out") == {
        *("train.jsonl", "eval.jsonl", "test.jsonl", "notes.txt"),
        *(DATASET_NAME, "manifest.json"),
    }
    assert [(s.name, s.rows) for s in dataset.splits] == [("train", 3), ("eval", 9), ("test", 9)]
    assert dataset.labels == ("eye", "heart", "skin")
    assert (dataset.cleaned, dataset.set_aside) == ((), 0)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the files that were fetched."""
    names: set[str] = set()
    plain = FolderStore.open

    def watched(store: FolderStore, file: TrackedFile) -> BinaryIO:
        names.add(file.path)
        return plain(store, file)

    monkeypatch.setattr(FolderStore, "open", watched)
    return names


def test_what_holds_no_rows_is_not_fetched(place: Path, fetched: set[str]) -> None:
    """A bucket has more in it than one team's rows: nobody waits for all of that."""
    write(place / "data" / "claims", {"2026-01": rows(3), "2026-02": rows(3, "more")})
    (place / "data" / "claims" / "manifest.json").write_text("{}")  # a name that our own file has
    dataset = take(place, files={"train": "claims/*.jsonl"}, splits=["train"])
    assert dataset.splits[0].rows == 6
    assert fetched == {"claims/2026-01.jsonl", "claims/2026-02.jsonl"}


def test_a_file_that_is_not_there_is_told_before_any_is_fetched(
    place: Path, fetched: set[str]
) -> None:
    write(place / "data", {"a": rows(3)})
    with pytest.raises(MissingError, match=r"has no b\*\.jsonl.*it has a\.jsonl"):
        take(place, files={"train": "b*.jsonl"}, splits=["train"])
    assert fetched == set()


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_name_that_no_row_has_a_value_for_is_refused(place: Path, form: str) -> None:
    """Else a misspelt group would have each patient's rows divided between the splits."""
    table = pl.DataFrame(
        {"text": [f"row {n}" for n in range(60)], "patient": ["p"] * 60, "ward": [None] * 60},
        schema_overrides={"ward": pl.String},
    )
    path = place / "data" / f"all.{form}"
    written = {"jsonl": table.write_ndjson, "csv": table.write_csv, "parquet": table.write_parquet}
    written[form](path)
    chosen = {"kind": "text", "files": {"all": path.name}, "split": {"by": "group"}}
    chosen |= {"splits": ["train", "eval", "test"]}
    with pytest.raises(DataError, match="No row has a value for 'ward'") as refused:
        take(place, **chosen, columns={"group": "ward"})
    assert "columns" in refused.value.remedy
    take(place, **chosen, columns={"model": "ward"})  # that there is none may be meant
    with pytest.raises(DataError, match="no row in"):  # all in the split of their one patient
        take(place, **chosen, columns={"group": "patient"})


def test_a_name_that_one_row_has_a_value_for_is_enough(place: Path) -> None:
    told = [{"text": "a"}, {"text": "b", "topic": "x"}]
    for name, one in zip(("1", "2"), told, strict=True):
        (place / "data" / f"{name}.jsonl").write_text(json.dumps(one))
    chosen = {"kind": "text", "files": {"train": "*.jsonl"}, "splits": ["train"]}
    assert take(place, **chosen, columns={"label": "topic"}).labels == ("x",)


def test_nothing_else_is_left_in_the_folder_of_the_output(place: Path) -> None:
    write(place / "data", splits())
    take(place)
    assert names(place) == {"data", "out"}
    take(place, clean=[{"drop_duplicates": {}}, {"cap": {"per_label": 5}}])
    assert names(place) == {"data", "out"}


def test_sound_rows_in_another_form_are_rewritten(place: Path) -> None:
    write(place / "data", splits())
    own = {"prompt": "Why?", "completion": "Because.", "score": 3}
    (place / "data" / "train.jsonl").write_text(json.dumps(own) + "\n")
    dataset = take(place, kind="instruction")
    [made] = found(place, dataset)
    assert [(turn.role, turn.content) for turn in made.messages] == [
        ("user", "Why?"),
        ("assistant", "Because."),
    ]
    assert b"score" not in (place / "out" / "train.jsonl").read_bytes()


def test_a_bad_row_stops_the_run_and_the_older_data_set_stays(place: Path) -> None:
    write(place / "data", splits())
    take(place)
    before = (place / "out" / DATASET_NAME).read_bytes()
    bad = lines(rows(1)) + b'{"id": "x", "messages": "ann@example.org"}\n' + b"{\n"
    (place / "data" / "train.jsonl").write_bytes(bad)
    with pytest.raises(DataError, match=r"^E_DATA: train\.jsonl, line 2: ") as refused:
        take(place)
    assert "ann@" not in str(refused.value)
    assert "quarantine" in refused.value.remedy
    assert (place / "out" / DATASET_NAME).read_bytes() == before
    assert names(place) == {"data", "out"}


def test_the_faults_of_a_kind_are_found_in_files_that_are_kept(place: Path) -> None:
    write(place / "data", splits())
    turns = chat(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    (place / "data" / "eval.jsonl").write_bytes(lines([row(0), row(1, messages=turns)]))
    take(place, kind="chat")
    with pytest.raises(DataError, match=r"eval\.jsonl, line 2: .*one question"):
        take(place, kind="instruction")


@pytest.mark.parametrize("clean", [[], [{"strip_control": {}}]])
def test_bad_rows_under_the_cap_are_set_aside(place: Path, clean: list[Any]) -> None:
    good = rows(5)
    write(place / "data", splits())
    text = lines(good[:2]) + b'{"id": 1}\n' + lines(good[2:]) + b"ann@example.org\n"
    (place / "data" / "train.jsonl").write_bytes(text)
    dataset = take(place, clean=clean, quarantine={"rows": 2})
    assert dataset.set_aside == 2
    assert [one.id for one in found(place, dataset)] == [one["id"] for one in good]
    aside = (place / "out" / QUARANTINE_NAME).read_text()
    first, second = (json.loads(line) for line in aside.splitlines())
    assert SetAside(**first).line == 3
    assert (second["file"], second["line"]) == ("train.jsonl", 7)
    assert "ann@" not in aside
    if not clean:
        assert (place / "out" / "train.jsonl").read_bytes() == lines(good)


def test_more_bad_rows_than_the_cap_allows_stop_the_run_with_the_first_ten(place: Path) -> None:
    write(place / "data", splits())
    (place / "data" / "train.jsonl").write_bytes(lines(rows(6)) + b"{\n" * 14)
    with pytest.raises(DataError) as refused:
        take(place, quarantine={"rows": 3, "share": 0.1})
    assert "14 of 38 rows cannot be read, expected at most 3." in refused.value.message
    assert "train.jsonl, line 16: " in refused.value.message
    assert "line 17" not in refused.value.message
    assert not (place / "out").exists()


def test_a_share_of_bad_rows_may_be_allowed(place: Path) -> None:
    write(place / "data", splits(train=96))
    file = place / "data" / "train.jsonl"
    file.write_bytes(file.read_bytes() + b"{\n" * 6)
    assert take(place, quarantine={"share": 0.05}).set_aside == 6
    file.write_bytes(file.read_bytes() + b"{\n" * 6)
    with pytest.raises(DataError, match="12 of 126 rows"):
        take(place, quarantine={"share": 0.05})


def test_an_empty_split_is_refused_with_its_cause(place: Path) -> None:
    write(place / "data", {**splits(), "eval": []})
    with pytest.raises(DataError, match="no row in eval"):
        take(place)
    write(place / "data", {**splits(), "eval": splits()["test"]})
    with pytest.raises(DataError, match="no row in eval; of all rows, drop_duplicates left out 9"):
        take(place, clean=[{"drop_duplicates": {}}])


def test_instructions_from_csv(place: Path) -> None:
    text = "question,answer,topic,case\n" + "".join(
        f'"Where, {n}?\nTell ""me"".",place {n},t{n % 2},c{n}\n' for n in range(40)
    )
    (place / "data" / "cases.csv").write_text(text)
    dataset = take(
        place,
        kind="instruction",
        files={"all": "cases.csv"},
        columns={"prompt": "question", "completion": "answer", "label": "topic", "group": "case"},
        split={"eval": 0.2, "test": 0.2},
    )
    assert sum(split.rows for split in dataset.splits) == 40
    assert names(place / "out") == {
        *("train.jsonl", "eval.jsonl", "test.jsonl", DATASET_NAME, "manifest.json")
    }
    one = found(place, dataset)[0]
    number = one.group.removeprefix("c")
    assert one.messages[0].content == f'Where, {number}?\nTell "me".'
    assert (one.completion, one.label) == (f"place {number}", f"t{int(number) % 2}")
    assert dataset.labels == ("t0", "t1")


def test_chats_from_parquet_shards(place: Path) -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    for shard in ("a", "b"):
        frame = pl.DataFrame(
            {"conversation": [turns] * 3, "key": [f"{shard}{n}" for n in range(3)]}
        )
        frame.write_parquet(place / "data" / f"part-{shard}.parquet")
    frame.write_parquet(place / "data" / "dev.parquet")
    dataset = take(
        place,
        splits=["train", "eval"],
        files={"train": "part-*.parquet", "eval": "dev.parquet"},
        columns={"messages": "conversation", "id": "key"},
    )
    assert [one.id for one in found(place, dataset)] == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert [turn.role for turn in found(place, dataset)[0].messages] == ["user", "assistant"]


def test_preferences_from_packed_json_lines(place: Path) -> None:
    own = [{"q": f"Why {n}?", "good": "Because.", "bad": "No."} for n in range(4)]
    (place / "data" / "pairs.jsonl.gz").write_bytes(gzip.compress(lines(own)))
    dataset = take(
        place,
        kind="preference",
        splits=["train"],
        files={"train": "pairs.jsonl.gz"},
        columns={"prompt": "q", "chosen": "good", "rejected": "bad"},
    )
    assert {(one.completion, one.rejected) for one in found(place, dataset)} == {
        ("Because.", "No.")
    }
    assert len({one.id for one in found(place, dataset)}) == 4


def test_traffic_from_zstandard_logs(place: Path) -> None:
    own = [
        {
            "request": {"messages": chat(("system", "Be brief."), ("user", f"Where {n}?"))},
            "response": {"choices": [{"message": {"content": "Here."}}], "model": "m@7"},
            "at": f"2026-03-01T12:00:0{n}Z",
        }
        for n in range(4)
    ]
    (place / "data" / "log.jsonl.zst").write_bytes(zstandard.compress(lines(own)))
    dataset = take(
        place,
        kind="traffic",
        splits=["train"],
        files={"train": "*.zst"},
        columns={
            "prompt": "request.messages",
            "completion": "response.choices.0.message.content",
            "model": "response.model",
            "time": "at",
        },
    )
    last = found(place, dataset)[-1]
    assert (last.time, last.model, last.completion) == ("2026-03-01T12:00:03Z", "m@7", "Here.")
    assert [turn.role for turn in last.messages] == ["system", "user", "assistant"]


def test_plain_texts_from_tsv(place: Path) -> None:
    (place / "data" / "pages.tsv").write_text("body\turl\nOne page.\tu1\nAnother.\tu2\n")
    dataset = take(
        place,
        kind="text",
        splits=["train"],
        files={"train": "pages.tsv"},
        columns={"text": "body", "id": "url"},
    )
    assert [(one.id, one.text) for one in found(place, dataset)] == [
        ("u1", "One page."),
        ("u2", "Another."),
    ]


CLEAN = [
    {"normalise_unicode": {"form": "NFKC"}},
    {"strip_control": {}},
    {"redact_pii": {"patterns": ["email"]}},
    {"drop_duplicates": {}},
    {"drop_near_duplicates": {}},
    {"drop_too_long": {"characters": 400}},
    {"cap": {"per_label": 40}},
    {"balance": {"ratio": 2}},
]


def messy(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of a team's own with all that the steps take care of."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        words = [f"word{draw.randrange(50)}" for _ in range(30)]
        texts = ["\x07", "ﬁne", f"ann{number}@example.org", "x" * draw.choice([1, 500])]
        asked = " ".join([*words, *draw.sample(texts, 2)])
        copy = made and draw.random() < 0.3
        asked = draw.choice(made)["q"] if copy else asked
        made.append({"q": asked, "a": draw.choice("aaabc"), "g": f"g{number % 97}"})
    return [{**one, "l": one["a"]} for one in made]


def clean_twice(place: Path, order: list[dict[str, Any]], out: str) -> Dataset:
    (place / "data" / "rows.jsonl").write_bytes(lines(order))
    return take(
        place,
        out,
        kind="instruction",
        files={"all": "rows.jsonl"},
        columns={"prompt": "q", "completion": "a", "label": "l", "group": "g"},
        split={"eval": 0.2, "test": 0.2},
        clean=CLEAN,
    )


def test_the_same_input_gives_the_same_bytes_and_every_step_is_told(place: Path) -> None:
    one = clean_twice(place, messy(400), "out")
    two = clean_twice(place, messy(400), "again")
    assert one == two
    assert [step.step for step in one.cleaned] == [next(iter(step)) for step in CLEAN]
    for before, after in zip(one.cleaned, one.cleaned[1:], strict=False):
        assert before.rows - before.dropped == after.rows
    assert one.cleaned[0].rows == 400
    last = one.cleaned[-1]
    assert last.rows - last.dropped == sum(split.rows for split in one.splits)
    assert all(step.changed or step.dropped for step in one.cleaned[:4])
    text = (place / "out" / "train.jsonl").read_text()
    assert "@example.org" not in text + (place / "out" / DATASET_NAME).read_text()
    assert "[EMAIL]" in text
    assert "ﬁ" not in text


def test_held_out_rows_and_groups_are_not_in_train(place: Path) -> None:
    dataset = clean_twice(place, messy(400), "out")
    groups = {
        split.name: {one.group for one in found(place, dataset, split.name)}
        for split in dataset.splits
    }
    asked = {
        split.name: {one.messages[0].content for one in found(place, dataset, split.name)}
        for split in dataset.splits
    }
    assert all(groups.values())
    assert all(asked.values())
    for a, b in (("train", "eval"), ("train", "test"), ("eval", "test")):
        assert not groups[a] & groups[b]
        assert not asked[a] & asked[b]


def test_what_the_cleaning_is_does_not_move_a_row_to_another_split(place: Path) -> None:
    (place / "data" / "rows.jsonl").write_bytes(lines(messy(200)))
    chosen: dict[str, Any] = {
        "kind": "instruction",
        "files": {"all": "rows.jsonl"},
        "columns": {"prompt": "q", "completion": "a"},
        "split": {"eval": 0.3, "test": 0.3},
    }
    plain = take(place, **chosen)
    where = {r.id: s.name for s in plain.splits for r in found(place, plain, s.name)}
    cleaned = take(place, **chosen, clean=CLEAN[:3])
    assert {r.id: s.name for s in cleaned.splits for r in found(place, cleaned, s.name)} == where


def test_tokens_are_counted_by_a_tokenizer_of_the_data(place: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(place / "data" / "tokenizer.json"))
    own = [
        {"prompt": "one two three four", "completion": "x"},
        {"prompt": "one", "completion": "x"},
    ]
    (place / "data" / "train.jsonl").write_bytes(lines(own))
    limit = {"tokens": 4, "tokenizer": "tokenizer.json"}
    chosen: dict[str, Any] = {"kind": "instruction", "splits": ["train"]}
    dataset = take(place, **chosen, clean=[{"drop_too_long": limit}])
    assert [one.messages[0].content for one in found(place, dataset)] == ["one"]
    assert dataset.cleaned[0].note == "1 of more than 4 tokens"
    again = {**limit, "tokenizer": "file:data/tokenizer.json"}
    assert take(place, **chosen, clean=[{"drop_too_long": again}]) == dataset
    for missing in ("other.json", "../../etc/passwd", "file:data/other.json"):
        with pytest.raises(MissingError, match="no tokenizer"):
            take(place, **chosen, clean=[{"drop_too_long": {**limit, "tokenizer": missing}}])


def test_a_file_that_is_not_there_is_named_with_those_that_are(place: Path) -> None:
    write(place / "data", splits())
    with pytest.raises(MissingError, match=r"no claims-\*\.csv.*it has eval\.jsonl, test\.jsonl"):
        take(place, files={"train": "claims-*.csv"})


def test_a_file_of_two_splits_is_refused(place: Path) -> None:
    write(place / "data", splits())
    with pytest.raises(SettingsError, match=r"test\.jsonl would be read for train and test"):
        take(place, files={"train": "t*.jsonl"})


def test_a_file_of_unknown_format_is_refused(place: Path) -> None:
    write(place / "data", splits())
    (place / "data" / "rows.xlsx").write_bytes(b"PK")
    with pytest.raises(FormatError, match="rows.xlsx"):
        take(place, files={"train": "rows.xlsx"})


def test_labels_are_those_of_the_train_split_alone(place: Path) -> None:
    write(place / "data", {**splits(), "test": [row(0, "test", label="ear")]})
    assert take(place).labels == ("eye", "heart", "skin")
    assert take(place, clean=[{"strip_control": {}}]).labels == ("eye", "heart", "skin")


def test_a_missing_split_is_named(place: Path) -> None:
    write(place / "data", {"train": rows(6), "eval": rows(3, "eval")})
    with pytest.raises(MissingError, match=r"no test\.jsonl, expected one file for each of train"):
        take(place)
    two = take(place, splits=["train", "eval"])
    assert [split.name for split in two.splits] == ["train", "eval"]


@pytest.mark.parametrize("name", [DATASET_NAME, "manifest.json", QUARANTINE_NAME])
def test_data_cannot_pose_as_our_own_records(place: Path, name: str) -> None:
    write(place / "data", splits())
    (place / "data" / name).write_text("{}")
    with pytest.raises(FormatError, match=name):
        take(place)


def test_the_command_line_tells_code_and_remedy(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(place / "data", splits())
    bad = ["--dataset", str(place / "out"), "--repo", "file:data", "--settings", '{"kind": 5}']
    with pytest.raises(SystemExit) as ended:
        main(run, bad)
    assert ended.value.code == 2
    assert "E_SETTINGS" in capsys.readouterr().err
