"""What the guide and the rooms' pages show as settings is read as settings."""

import re
from pathlib import Path
from typing import Any

import pytest

from wherry import strict_yaml
from wherry.cli.preflight import _SETTINGS
from wherry.contracts import read_settings
from wherry.release.retention import read_retention

PAGES = (Path("README.md"), Path("docs/guide.md"), *Path("components").rglob("README.md"))


def shown() -> list[tuple[str, str, Any]]:
    """Sections of settings, in blocks and within lines."""
    texts = [
        (page, text)
        for page in PAGES
        for pattern in (r"```yaml\n(.*?)```", r"`(\w+: ?\{[^`]+\})`")
        for text in re.findall(pattern, page.read_text(), re.DOTALL)
    ]
    blocks = [(page, strict_yaml.load(text)) for page, text in texts if "…" not in text]
    return [
        (str(page), room, settings)
        for page, block in blocks
        for room, settings in block.items()
        if room in _SETTINGS and isinstance(settings, dict) and room != "base"
    ]


@pytest.mark.parametrize(("page", "room", "settings"), shown())
def test_settings_on_a_page_are_read(page: str, room: str, settings: dict[str, Any]) -> None:
    assert isinstance(read_settings(_SETTINGS[room], settings, where=page), _SETTINGS[room])


def test_the_guide_shows_several() -> None:
    assert {room for page, room, _ in shown() if page == "docs/guide.md"} >= {"ingest", "quantize"}


def test_the_guides_retention_is_one(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(keep:.*?)```", Path("docs/guide.md").read_text(), re.DOTALL)
    assert block is not None
    (tmp_path / "retention.yaml").write_text(block[1])
    assert read_retention(tmp_path) is not None
