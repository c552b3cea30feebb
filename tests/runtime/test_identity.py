"""A local run's cache follows the code."""

from pathlib import Path

import pytest

import wherry
from wherry.runtime.identity import code_tag


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package and a pipeline beside it."""
    folder = tmp_path / "wherry"
    for name in ("__init__.py", "page/templates/base.html", "select/catalogue.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("one")
    (tmp_path / "pipeline.py").write_text("one")
    monkeypatch.setattr(wherry, "__file__", str(folder / "__init__.py"))
    return folder


@pytest.mark.parametrize(
    "name",
    ["__init__.py", "page/templates/base.html", "select/catalogue.yaml", "../pipeline.py"],
)
def test_a_change_of_what_a_stage_does_changes_the_tag(package: Path, name: str) -> None:
    pipeline = package.parent / "pipeline.py"
    before = code_tag(pipeline)
    (package / name).write_text("two")
    assert code_tag(pipeline) != before


def test_a_file_that_moves_changes_the_tag(package: Path) -> None:
    before = code_tag(package.parent / "pipeline.py")
    (package / "page" / "templates" / "base.html").rename(package / "page" / "base.html")
    assert code_tag(package.parent / "pipeline.py") != before


def test_a_pipeline_that_is_not_there_is_left_to_the_run_to_tell(package: Path) -> None:
    assert code_tag(package.parent / "nowhere.py").startswith(f"{wherry.__version__}-")


def test_what_tools_leave_behind_does_not(package: Path) -> None:
    before = code_tag(package.parent / "pipeline.py")
    for name in ("__pycache__/a.pyc", "text/.ruff_cache/0.1/2", "README.md"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("one")
    assert code_tag(package.parent / "pipeline.py") == before
