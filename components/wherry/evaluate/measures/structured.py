"""Answers that should be JSON: whether they are, and whether they keep to a schema."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from wherry.contracts.errors import ExtraMissingError, SettingsError
from wherry.evaluate.measures.measure import Terms


def valid_json(answer: str, reference: str) -> Terms:  # noqa: ARG001  # as all text measures
    """Says whether the whole answer is one JSON value by RFC 8259: no fence, no NaN."""
    return (float(_parsed(answer)[0]),)


def schema_valid(schema: Mapping[str, Any]) -> Callable[[str, str], Terms]:
    """Gives the function that says whether an answer is JSON that keeps to a schema.

    Args:
        schema: a JSON Schema; the draft of its ``$schema``, or the newest one.

    Raises:
        SettingsError: if the schema itself is none, or refers to what is not in it.
    """
    validator, unresolvable = _validator(schema)

    def terms(answer: str, reference: str) -> Terms:  # noqa: ARG001  # as all text measures
        is_json, value = _parsed(answer)
        try:
            return (float(is_json and validator.is_valid(value)),)
        except (unresolvable, re.error) as error:
            raise _no_schema(error) from error
        except (ArithmeticError, RecursionError):
            # As 1e999 beside multipleOf, or brackets by the hundred: what cannot be checked does
            # not conform, and no answer may end an evaluation.
            return (0.0,)

    return terms


def _parsed(answer: str) -> tuple[bool, Any]:
    try:
        return True, json.loads(answer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False, None


def _refuse(constant: str) -> NoReturn:
    """Refuses what Python reads and JSON does not have: NaN and Infinity."""
    raise ValueError(constant)


def _validator(schema: Mapping[str, Any]) -> tuple[Any, type[Exception]]:
    """Gives the schema's validator, and what it raises for a reference that leads nowhere."""
    try:
        import jsonschema
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"schema_valid needs {error.name}, which is not installed.",
            remedy='Run: pip install "wherry[evaluate]"',
        ) from error
    kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise _no_schema(error) from error
    # An empty registry: a schema never makes an evaluation fetch something.
    return kind(schema, registry=Registry()), Unresolvable


def _no_schema(error: Exception) -> SettingsError:
    return SettingsError(
        f"json_schema is no JSON Schema: {getattr(error, 'message', error)}.",
        remedy="Correct it in the settings of evaluate; refer to nothing outside it.",
    )
