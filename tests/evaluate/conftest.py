"""The tiny model in its three forms, made once, and rows to ask."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from wherry.contracts import (
    Dataset,
    Kind,
    Manifest,
    Message,
    Row,
    Source,
    Split,
    digest_bytes,
    digest_file,
)

PROMPT = (Message("system", "Name it."), Message("user", "It pumps."))
LABELS = ("bone", "heart", "skin")


def labelled_dataset(folder: Path) -> Path:
    """Writes a data set of six rows, two a label, as the ingest room does."""
    rows = [
        Row(f"r{n}", (*PROMPT, Message("assistant", LABELS[n % 3])), LABELS[n % 3])
        for n in range(6)
    ]
    return _written(folder, rows, "chat", LABELS)


def _written(folder: Path, rows: list[Row], kind: Kind, labels: tuple[str, ...]) -> Path:
    folder.mkdir()
    path = folder / "test.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    splits = (Split("test", path.name, len(rows), digest_file(path)),)
    source = Source("dvc:.", "", "data", "md5:0")
    Dataset(kind, splits, digest_bytes(b"data"), source, labels).write(folder / "dataset.json")
    Manifest.seal(folder)
    return folder


def text_dataset(folder: Path, *texts: str) -> Path:
    """Writes a data set of plain text with a test split."""
    rows = [Row(f"t{number}", text=text) for number, text in enumerate(texts)]
    return _written(folder, rows, "text", ())


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps journals of answers out of the working folder."""
    monkeypatch.setenv("WHERRY_HOME", str(tmp_path_factory.mktemp("state")))


class Models(NamedTuple):
    """Folders, as the rooms before would hand them on."""

    dataset: Path
    base: Path
    adapter: Path
    gguf: Path


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    from tests.fakes import tiny_model  # torch: only for tests that need it
    from wherry.quantize.run import run as quantize

    root = tmp_path_factory.mktemp("tiny")
    made = Models(*(root / name for name in Models._fields))
    tiny_model.make_dataset(made.dataset)
    tiny_model.make_base(made.base)
    tiny_model.make_adapter(made.adapter, made.base)
    # F16: nearly the weights of the adapter, so that both engines must say the same.
    quantize(
        made.base, made.adapter, made.dataset, made.gguf, root / "parity.json", '{"type": "F16"}'
    )
    return made
