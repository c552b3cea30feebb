"""Makes the JSON schema of a policy file from the dataclasses, for editors and other tools."""

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from wherry.contracts import blessing
from wherry.gate import settings
from wherry.gate.settings import Policy

SCHEMA_FILE: Final = Path(__file__).with_name("policy.schema.json")
"""Shipped with the package; a test compares it with what `schema` gives."""
_ID: Final = "https://github.com/wherry-ml/wherry/blob/main/components/wherry/gate/"


def schema() -> str:
    """Gives the schema of `Policy` as JSON text."""
    made = msgspec.json.schema(Policy)
    for name, body in made["$defs"].items():
        _finish(body, _field_docs(name))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": _ID + SCHEMA_FILE.name,
    }
    return json.dumps({**head, **made}, indent=2, ensure_ascii=False) + "\n"


def _finish(body: dict[str, Any], docs: dict[str, str]) -> None:
    """Adds what msgspec leaves out: what a field means, and that there are no others."""
    body["additionalProperties"] = False
    body["description"] = inspect.cleandoc(body.get("description", ""))
    for name, field in body["properties"].items():
        if "$ref" not in field:
            field["description"] = docs.get(name, "")
    for name in ("all_of", "any_of"):
        for choice in body["properties"].get(name, {}).get("anyOf", ()):
            if choice.get("type") == "array":
                choice["minItems"] = 1


def _field_docs(kind: str) -> dict[str, str]:
    """Gives the docstring that follows each field of a dataclass."""
    for module in (settings, blessing):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef) and node.name == kind:
                return dict(_pairs(node.body))
    return {}


def _pairs(body: list[ast.stmt]) -> list[tuple[str, str]]:
    return [
        (field.target.id, " ".join(str(after.value.value).split()))
        for field, after in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    ]


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema(), encoding="utf-8")
