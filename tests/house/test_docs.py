"""The documentation tells the truth about what can be checked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from wherry.contracts import read_settings
from wherry.gate.settings import Policy

ROOT = Path(__file__).parents[2]
FOLDERS = ("components", "data-store", "docs", "examples")
PAGES = [*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))]
OURS_ALONE = {"WHERRY_EVENTS", "WHERRY_IMAGE_TAG", "WHERRY_OUTER_TMPDIR"}
"""Variables that one process of ours hands another."""


def test_the_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)\s]+)", without_code(page))
    assert [link for link in links if not leads(page, link)] == []


def without_code(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def leads(page: Path, link: str) -> bool:
    """Whether there is such a file, and in it such a heading, named as GitHub names them."""
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    if not anchor or not target.is_file():
        return target.exists() and not anchor
    headings = re.findall(r"^#+ (.+)$", without_code(target), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = ROOT / "docs" / "guide.md"
    assert leads(page, "../README.md")
    assert leads(page, "#environment-variables")
    assert not leads(page, "#no-such-heading")
    assert not leads(page, "../README.md#no-such-heading")
    assert not leads(page, "../NO_SUCH_PAGE.md#try-it")


def test_the_guide_names_every_variable_that_is_read() -> None:
    sources = (ROOT / "components").rglob("*.py")
    read = {
        name for source in sources for name in re.findall(r'"(WHERRY_[A-Z_]+)"', source.read_text())
    }
    table = (ROOT / "docs" / "guide.md").read_text().partition("## Environment variables")[2]
    told = set(re.findall(r"`(WHERRY_[A-Z_]+)`", table.partition("\n## ")[0]))
    assert told == read - OURS_ALONE


def test_the_guides_policy_is_one() -> None:
    text = (ROOT / "docs" / "guide.md").read_text()
    block = text.split("```yaml\nfloors:")[1].split("```")[0]
    policy = read_settings(Policy, yaml.safe_load(f"floors:{block}"))
    assert policy.required_approvals == ("clinical safety",)
