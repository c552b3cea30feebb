"""Writes docs/reference from the code: settings, commands, errors.

`python scripts/reference.py` writes; with `--check` it says which page is stale and exits 1.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from wherry.cli import cli
from wherry.contracts import errors
from wherry.contracts.errors import WherryError

PACKAGE = Path("components/wherry")
OUT = Path("docs/reference")
_ELSEWHERE = {"tune/jobs.py": "tune_job"}
"""Sections whose settings stand in another file, beside what they are turned into."""
HEADER = "<!-- Written by `make docs` from the code: change the docstrings there. -->\n\n"


def main() -> None:
    """Writes or checks every page."""
    pages = {"settings.md": settings(), "commands.md": commands(), "errors.md": error_codes()}
    if "--check" in sys.argv:
        stale = [name for name, text in pages.items() if _old(name) != HEADER + text]
        if stale:
            raise SystemExit(f"stale: {', '.join(stale)}. Run: make docs")
        return
    OUT.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (OUT / name).write_text(HEADER + text)
        print(f"{OUT / name}: {len(text.splitlines())} lines")


def _old(name: str) -> str:
    return (OUT / name).read_text() if (OUT / name).exists() else ""


def settings() -> str:
    """A table for each settings dataclass: field, type, default, docstring."""
    parts = ["# Settings\n\nEach section of a settings file is one of these.\n"]
    for path in sorted([*PACKAGE.rglob("settings.py"), *(PACKAGE / each for each in _ELSEWHERE)]):
        room = _ELSEWHERE.get(path.relative_to(PACKAGE).as_posix()) or ".".join(
            path.relative_to(PACKAGE).parts[:-1]
        )
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and (rows := _fields(node)):
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                parts.append(f"\n## `{room}`: {node.name}\n\n{summary}\n")
                parts.append("\n| field | type | default | |\n|---|---|---|---|\n" + "".join(rows))
    return "".join(parts)


def _fields(node: ast.ClassDef) -> list[str]:
    """Pairs each annotated field with the docstring that follows it."""
    rows = []
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(field, ast.AnnAssign):
            continue
        text = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            text = " ".join(str(after.value.value).split())
        default = ast.unparse(field.value) if field.value else "required"
        cells = (ast.unparse(field.target), ast.unparse(field.annotation), default)
        rows.append("| " + " | ".join(f"`{_cell(c)}`" for c in cells) + f" | {_cell(text)} |\n")
    return rows


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commands() -> str:
    """Each command's help, those of groups included."""
    return "# Commands\n" + "".join(_helps("wherry", cli))


def _helps(path: str, group: click.Group) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        full = f"{path} {name}"
        context = click.Context(command, info_name=full, max_content_width=100)
        yield f"\n## {full}\n\n```\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            yield from _helps(full, command)


def error_codes() -> str:
    """A row for each error class."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    mine = sorted(
        (k for k in kinds if issubclass(k, WherryError) and k is not WherryError),
        key=lambda kind: kind.code,
    )
    rows = (f"| `{k.code}` | {k.exit_code} | {inspect.getdoc(k)} |\n" for k in mine)
    head = (
        "# Errors\n\nEvery failure has a stable code, names the value and what was expected, and "
        "says what to do.\nExit codes: 0 done, 1 failed, 2 bad usage, 3 gate refused, 4 conflict, "
        "130 interrupted.\n\n| code | exit | when |\n|---|---|---|\n"
    )
    return head + "".join(rows)


if __name__ == "__main__":
    main()
