"""Small made-up questions in the very formats of the hub's benchmark data sets."""

import json
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

HELLASWAG: Rows = [
    {
        "ind": 1,
        "activity_label": "Washing dishes",
        "ctx_a": "A man fills the sink.",
        "ctx_b": "he",
        "ctx": "A man fills the sink. he",
        "endings": [
            "rinses a plate [step] and dries it.",
            "flies to the moon.",
            "sings.",
            "cuts the grass behind the house.",
        ],
        "label": "0",
    },
    {
        "ind": 2,
        "activity_label": "Rowing",
        "ctx_a": "Two women carry a boat.",
        "ctx_b": "they",
        "ctx": "Two women carry a boat. they",
        "endings": ["eat it.", "put it into the water.", "paint the sky blue.", "read a book."],
        "label": "1",
    },
    {
        "ind": 3,
        "activity_label": "Baking",
        "ctx_a": "The dough has risen.",
        "ctx_b": "she",
        "ctx": "The dough has risen. she",
        "endings": ["shovels snow.", "tunes a violin.", "puts it into the oven.", "mows."],
        "label": "2",
    },
]
_CHOICES = {"text": ["copper wire", "a wool sock", "dry wood", "paper"], "label": list("ABCD")}
OPENBOOKQA: Rows = [
    {"id": "1", "question_stem": "What conducts?", "choices": _CHOICES, "answerKey": "A"},
    {"id": "2", "question_stem": "What keeps feet warm?", "choices": _CHOICES, "answerKey": "B"},
]
ARC: Rows = [
    {"id": "a", "question": "What burns?", "choices": _CHOICES, "answerKey": "C"},
    {"id": "b", "question": "What is written on?", "choices": _CHOICES, "answerKey": "D"},
    {"id": "c", "question": "What is metal?", "choices": _CHOICES, "answerKey": "A"},
]
WINOGRANDE: Rows = [
    {
        "sentence": "The cup did not fit into the box because _ was too big.",
        "option1": "the cup",
        "option2": "the box",
        "answer": "1",
    },
    {
        "sentence": "Ann thanked Eve because _ had helped her.",
        "option1": "Ann",
        "option2": "Eve",
        "answer": "2",
    },
]
BOOLQ: Rows = [
    {"passage": "Ice floats.", "question": "does ice float", "idx": 0, "label": 1},
    {"passage": "Lead sinks.", "question": "does lead float", "idx": 1, "label": 0},
    {"passage": "Cork floats.", "question": "does cork float", "idx": 2, "label": 1},
]
PIQA: Rows = [
    {"goal": "Open a jar.", "sol1": "Turn the lid.", "sol2": "Shake the spoon.", "label": 0},
    {"goal": "Dry a shirt.", "sol1": "Put it into water.", "sol2": "Hang it up.", "label": 1},
]


def mmlu(subject: str) -> Rows:
    return [
        {
            "question": f"Which letter comes first in {subject}?",
            "subject": subject,
            "choices": ["b", "a", "d", "c"],
            "answer": 1,
        },
        {
            "question": f"Which letter comes last in {subject}?",
            "subject": subject,
            "choices": ["b", "a", "d", "c"],
            "answer": 2,
        },
    ]


STANDARD: dict[str, tuple[str, Rows]] = {
    "hellaswag": ("validation", HELLASWAG),
    "openbookqa": ("test", OPENBOOKQA),
    "winogrande": ("validation", WINOGRANDE),
    "arc_challenge": ("test", ARC),
    "arc_easy": ("test", ARC),
    "boolq": ("validation", BOOLQ),
    "piqa": ("validation", PIQA),
}


def write_standard(folder: Path) -> Path:
    """Writes the seven of the published table, a folder each, with the split that is asked."""
    for task, (split, rows) in STANDARD.items():
        write_rows(folder / task / f"{split}.jsonl", rows)
    return folder


def write_rows(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
