"""Reads a page as a browser would, and makes records that attack it."""

import dataclasses
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Final

VOID = {"meta", "br", "img", "input", "link", "hr"}
LOADS = ("src", "srcset", "href", "xlink:href", "action", "data", "poster", "ping", "background")
PAYLOAD: Final = "\"'><script>alert(1)</script><img src=x onerror=alert(2)></style></title>{{ 7 }}"


class Reader(HTMLParser):
    """Reads a page as a browser would: tags, attributes, ids and text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.lines: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.lines.append(" ".join(data.split()))

    def values(self, attribute: str) -> list[str]:
        return [found[attribute] for _, found in self.tags if attribute in found]


def poisoned(value: Any) -> Any:
    """Appends an attack to every text of a record that no rule of its contract holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {"schema", "severity", "kind", "format", "rule", "target", "split", "role", "state"}
        kept |= {"name"} if hasattr(value, "rows") or hasattr(value, "n") else set()
        changed = {
            field.name: poisoned(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.name not in kept
        }
        return replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(poisoned(item) for item in value)
    if isinstance(value, dict):
        return {key + PAYLOAD: poisoned(item) for key, item in value.items()}
    if isinstance(value, str) and not value.startswith("sha256:"):
        return value + PAYLOAD
    return value
