"""The tiny model's folders, made once."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Inputs(NamedTuple):
    """What the stage takes."""

    base: Path
    adapter: Path
    dataset: Path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    from tests.fakes import tiny_model  # torch: only for tests that need it

    root = tmp_path_factory.mktemp("tiny")
    made = Inputs(root / "base", root / "adapter", root / "dataset")
    tiny_model.make_base(made.base)
    tiny_model.make_adapter(made.adapter, made.base)
    tiny_model.make_dataset(made.dataset)
    return made


@pytest.fixture(scope="session")
def other_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    from tests.fakes import tiny_model

    def make(**changes: object) -> Path:
        folder = tmp_path_factory.mktemp("other") / "base"
        tiny_model.make_base(folder, **changes)  # type: ignore[arg-type]  # by keyword
        return folder

    return make
