"""Keeps lm-evaluation-harness from running Python that nobody here has read."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import lm_eval.api.task
from lm_eval.api.registry import get_metric, metric_registry

from wherry.contracts.errors import SettingsError


@contextmanager
def nothing_fetched() -> Iterator[None]:
    """Keeps the harness from running Python of the hub.

    By Hugging Face's `evaluate` it looks there for a metric that it does not have, a misspelt one
    too, after a script of that name in the working folder; and some of its tasks do so themselves.
    """
    # Not the package itself with another `load`: its import takes seconds, and torch.
    instead = ModuleType("evaluate")
    instead.__spec__ = ModuleSpec("evaluate", None)
    vars(instead)["load"] = _refused
    kept = sys.modules.get("evaluate")
    sys.modules["evaluate"] = instead
    lm_eval.api.task.get_metric = _registered
    try:
        yield
    finally:
        lm_eval.api.task.get_metric = get_metric
        del sys.modules["evaluate"]
        if kept:
            sys.modules["evaluate"] = kept


def _registered(name: str, hf_evaluate_metric: bool = False) -> Any:
    """Gives a metric of the harness's own, as its `get_metric`."""
    return _refused(name) if hf_evaluate_metric or name not in metric_registry else get_metric(name)


def _refused(name: str, *_: Any, **__: Any) -> Any:
    raise SettingsError(
        f"The metric {name!r} would come from the hub, as Python that is run: it is misspelt, or "
        "none of the harness's own (hf_evaluate).",
        remedy="Correct its name, or write it in Python beside the task file and name that as "
        "process_results: !function FILE.NAME.",
    )
