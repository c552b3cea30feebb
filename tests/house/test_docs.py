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
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs/guide.md")),
    *(ROOT / "components").glob("wherry/*/README.md"),
    *(ROOT / "docs" / "adr").glob("*.md"),
]


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
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_guides_policy_is_one() -> None:
    text = (ROOT / "docs" / "guide.md").read_text()
    block = text.split("```yaml\nfloors:")[1].split("```")[0]
    policy = read_settings(Policy, yaml.safe_load(f"floors:{block}"))
    assert policy.required_approvals == ("clinical safety",)
