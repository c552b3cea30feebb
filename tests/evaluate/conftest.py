"""The tiny model in its three forms, made once."""

from pathlib import Path
from typing import NamedTuple

import pytest


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
