"""Turns the official ICD-10-CM list into chat rows that train a medical-coding triage model.

The list is the tabular XML that the package ``simple-icd-10-cm`` 1.5.0 ships. The same XML and the
same options give the same bytes: rows are chosen and ordered by hash, never by a random generator.

Example:
    python examples/icd10/build.py --out data/icd10
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

PACKAGE = "simple_icd_10_cm"
XML = "data/icd10c-tabular-April-1-2026.xml"
XML_SHA256 = "f161f8182aff3ce3a2a78e202f8259c08eaee2c670a9e45b0072445c52302935"

SYSTEM = "Name the ICD chapter."
"""The system message of every row; short, because each of its tokens is paid on every row."""

LABELS: Mapping[str, str] = {
    "1": "infection",
    "2": "cancer",
    "3": "blood",
    "4": "nutrition",
    "5": "mental",
    "6": "brain",
    "7": "eye",
    "8": "ear",
    "9": "heart",
    "10": "lung",
    "11": "gut",
    "12": "skin",
    "13": "bone",
    "14": "bladder",
    "15": "mother",
    "16": "baby",
    "17": "birth",
    "18": "sign",
    "19": "harm",
    "20": "cause",
    "21": "health",
}
"""One plain word a chapter, by chapter number: "birth" for what is there from birth, "harm" for
injury and poisoning, "cause" for external causes. Each is a single token of SmolLM2's tokenizer,
so that one forward pass scores them all. Chapter 22 (U00-U85) is left out: it has 11 rows."""

Split = Literal["train", "eval", "test"]
SPLITS: tuple[Split, ...] = ("train", "eval", "test")

_A_CODE = re.compile(r"\b[A-Z]\d[0-9A-Z]")


@dataclass(frozen=True)
class Options:
    """How large the splits are, and which texts enter them."""

    train_rows: int = 90
    """Most training rows of one chapter."""
    eval_rows: int = 5
    """Most rows of one chapter in the eval split."""
    test_rows: int = 15
    """Most rows of one chapter in the test split."""
    eval_share: float = 0.10
    """Share of a chapter's three-character categories kept for the eval split."""
    test_share: float = 0.20
    """Share of a chapter's three-character categories kept for the test split."""
    max_characters: int = 120
    """Longest diagnosis taken, in characters."""


@dataclass(frozen=True)
class Diagnosis:
    """One way to word one diagnosis: a code's description, or one of its inclusion terms."""

    id: str
    """The code, with ``#n`` behind it for its n-th inclusion term: ``J00``, ``J00#1``."""
    text: str
    label: str
    group: str
    """The three-character category (``J00``): what the splits are cut by."""

    def row(self) -> dict[str, object]:
        """Gives the chat row that is written to the data set."""
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": self.text},
            {"role": "assistant", "content": self.label},
        ]
        return {"id": self.id, "messages": messages, "label": self.label, "group": self.group}


def build(diagnoses: Sequence[Diagnosis], options: Options) -> dict[Split, list[Diagnosis]]:
    """Cuts the diagnoses into splits that share no category, balanced by label.

    Args:
        diagnoses: every diagnosis that may be used, in any order.
        options: sizes and shares.

    Returns:
        The rows of each split, shuffled by hash.
    """
    kept = _usable(diagnoses, options)
    splits: dict[Split, list[Diagnosis]] = {name: [] for name in SPLITS}
    for of_label in _by(kept, "label").values():
        for split, rows in _split_by_group(of_label, options).items():
            splits[split] += _spread(rows)[: getattr(options, f"{split}_rows")]
    return {name: sorted(rows, key=lambda d: _rank("order", d.id)) for name, rows in splits.items()}


def _usable(diagnoses: Iterable[Diagnosis], options: Options) -> list[Diagnosis]:
    """Drops texts that are too long, that speak of other codes, or that stand under two codes."""
    same = defaultdict(list)
    for diagnosis in diagnoses:
        same[diagnosis.text.casefold()].append(diagnosis)
    return [
        alike[0]
        for alike in same.values()
        if len({d.group for d in alike}) == 1
        and len(alike[0].text) <= options.max_characters
        and not _A_CODE.search(alike[0].text)
    ]


def _split_by_group(
    diagnoses: Sequence[Diagnosis], options: Options
) -> dict[Split, list[Diagnosis]]:
    """Gives whole categories to test, then eval, then train: near copies never straddle a split."""
    groups = _by(diagnoses, "group")
    names = sorted(groups, key=lambda group: _rank("split", group))
    n_test = max(1, round(len(names) * options.test_share))
    n_eval = max(1, round(len(names) * options.eval_share))
    parts: dict[Split, list[str]] = {
        "train": names[n_test + n_eval :],
        "eval": names[n_test : n_test + n_eval],
        "test": names[:n_test],
    }
    return {split: [d for name in part for d in groups[name]] for split, part in parts.items()}


def _spread(diagnoses: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Orders rows so that any beginning of the list draws on as many categories as it can."""
    turns: list[tuple[int, str, Diagnosis]] = []
    for rows in _by(diagnoses, "group").values():
        ranked = sorted(rows, key=lambda d: _rank("pick", d.id))
        turns += [(turn, _rank("turn", d.id), d) for turn, d in enumerate(ranked)]
    return [diagnosis for _, _, diagnosis in sorted(turns, key=lambda turn: turn[:2])]


def _by(diagnoses: Iterable[Diagnosis], field: str) -> dict[str, list[Diagnosis]]:
    found = defaultdict(list)
    for diagnosis in diagnoses:
        found[getattr(diagnosis, field)].append(diagnosis)
    return dict(found)


def _rank(purpose: str, name: str) -> str:
    """Gives a fixed pseudo-random rank that depends on nothing but its arguments."""
    return hashlib.sha256(f"wherry-icd10/{purpose}/{name}".encode()).hexdigest()


def parse(xml: bytes) -> list[Diagnosis]:
    """Reads every code's description and inclusion terms from the tabular list."""
    return [
        Diagnosis(id=code, text=text, label=LABELS[number], group=code[:3])
        for chapter in ElementTree.fromstring(xml).iter("chapter")  # noqa: S314 - its SHA-256 is known
        if (number := chapter.findtext("name", "")) in LABELS
        for diag in chapter.iter("diag")
        for code, text in _wordings(diag)
    ]


def _wordings(diag: ElementTree.Element) -> Iterator[tuple[str, str]]:
    code = diag.findtext("name", "")
    yield code, _clean(diag.findtext("desc", ""))
    for n, note in enumerate(diag.findall("inclusionTerm/note"), start=1):
        yield f"{code}#{n}", _clean("".join(note.itertext()))


def _clean(text: str) -> str:
    return " ".join(text.split())


def read_xml() -> bytes:
    """Reads the tabular list out of the installed package, and checks that it is the known one."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        sys.exit(f"{PACKAGE} is not installed. Run: pip install simple-icd-10-cm==1.5.0")
    path = Path(spec.origin).parent / XML
    if not path.is_file():
        sys.exit(f"{path} is missing. Run: pip install simple-icd-10-cm==1.5.0")
    xml = path.read_bytes()
    if (found := hashlib.sha256(xml).hexdigest()) != XML_SHA256:
        sys.exit(
            f"{path} has SHA-256 {found}, expected {XML_SHA256}. "
            "Run: pip install --force-reinstall simple-icd-10-cm==1.5.0"
        )
    return xml


def write(splits: Mapping[Split, Sequence[Diagnosis]], out: Path) -> None:
    """Writes one JSONL file a split and the list of labels; each file appears whole or not."""
    out.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        lines = [json.dumps(d.row(), ensure_ascii=False) + "\n" for d in rows]
        _replace(out / f"{split}.jsonl", "".join(lines))
    _replace(out / "labels.json", json.dumps(list(LABELS.values()), indent=2) + "\n")


def _replace(path: Path, text: str) -> None:
    staged = path.with_name(path.name + ".partial")
    staged.write_bytes(text.encode())
    staged.replace(path)


def main(argv: Sequence[str] | None = None) -> None:
    """Builds the data set from the command line."""
    parser = argparse.ArgumentParser(description="Build the ICD-10-CM triage data set.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSONL files")
    for split in SPLITS:
        default = getattr(Options, f"{split}_rows")
        parser.add_argument(
            f"--{split}-rows", type=int, default=default, help=f"rows a chapter (default {default})"
        )
    args = vars(parser.parse_args(argv))
    out: Path = args.pop("out")
    splits = build(parse(read_xml()), Options(**args))
    write(splits, out)
    print(", ".join(f"{name}: {len(rows)} rows" for name, rows in splits.items()), "in", out)


if __name__ == "__main__":
    main()
