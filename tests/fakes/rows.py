"""Chat rows of a small, sound data set: three labels, balanced, no overlap."""

import json
from pathlib import Path
from typing import Any

LABELS = ("eye", "heart", "skin")


def row(number: int, split: str = "train", **changes: Any) -> dict[str, Any]:
    """One sound row; `changes` replace its fields."""
    label = LABELS[number % len(LABELS)]
    return {
        "id": f"{split}-{number}",
        "messages": [
            {"role": "system", "content": "Name the chapter."},
            {"role": "user", "content": f"Disorder {split} {number} of the {label}"},
            {"role": "assistant", "content": label},
        ],
        "label": label,
        "group": f"{split}{number}",
    } | changes


def chat(*turns: tuple[str, str]) -> list[dict[str, str]]:
    """Messages from pairs of role and text."""
    return [{"role": role, "content": content} for role, content in turns]


def rows(count: int, split: str = "train") -> list[dict[str, Any]]:
    """Some sound rows."""
    return [row(number, split) for number in range(count)]


def lines(found: list[dict[str, Any]]) -> bytes:
    """Rows as JSON Lines."""
    return "".join(json.dumps(one) + "\n" for one in found).encode()


def splits(train: int = 30, held_out: int = 9) -> dict[str, list[dict[str, Any]]]:
    """The rows of a whole sound data set, by split."""
    return {
        "train": rows(train),
        "eval": rows(held_out, "eval"),
        "test": rows(held_out, "test"),
    }


def write(folder: Path, found: dict[str, list[dict[str, Any]]]) -> Path:
    """Writes one file a split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, ones in found.items():
        (folder / f"{split}.jsonl").write_bytes(lines(ones))
    return folder
