"""The process that KFP's local runner lives in; `wherry.runtime.local` starts it.

It is the leader of its own process group and ends with it: when the pipe to its parent closes,
because the parent was killed, it kills the group, so that no task is left behind.
"""

import importlib.util
import json
import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from wherry.contracts.errors import ExtraMissingError, PipelineError, WherryError
from wherry.progress import EVENTS_VARIABLE
from wherry.runtime.traps import refuse_traps


def main() -> None:
    """Reads one request from stdin and runs its pipeline; exit code 0 if it succeeded."""
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _run(request)
    except WherryError as error:
        told = ("code", "message", "remedy", "exit_code")
        _tell("pipeline", "failed", **{name: getattr(error, name) for name in told})
        raise


def _run(request: dict[str, Any]) -> None:
    os.environ["WHERRY_IMAGE_TAG"] = request["tag"]
    file = load_pipeline(Path(request["pipeline"]))
    from kfp import local

    _tell("", "planned", total=len(getattr(file, "STAGES", ())))
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=request["root"],
        raise_on_error=True,
        enable_caching=request["cache"] != "",
        cache_root=request["cache"] or None,
    )
    pipeline = file.build("local")
    refuse_traps(pipeline.pipeline_spec)
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)  # KFP tells a cache hit at INFO
    logging.getLogger().addFilter(_CacheHits(_display_names(pipeline.pipeline_spec)))
    pipeline(**request["arguments"])


def load_pipeline(path: Path) -> Any:
    """Imports a pipeline file: a module with a function `build(target)`.

    Raises:
        PipelineError: if there is no such file, it cannot be imported, or it has no `build`.
        ExtraMissingError: if KFP is not installed.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise PipelineError(
            f"{path} is no pipeline file.", remedy="Name one with --pipeline, or run beside it."
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except WherryError:
        raise
    except Exception as error:
        raise _not_imported(path, error) from error
    if not hasattr(module, "build"):
        raise PipelineError(
            f"{path} has no function build(target).",
            remedy="See pipelines/train_to_deploy.py for its form.",
        )
    return module


def _not_imported(path: Path, error: Exception) -> WherryError:
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "kfp":
        return ExtraMissingError(
            f"Running and compiling pipelines needs KFP: {error}.",
            remedy='Run: pip install "wherry[pipelines]"',
        )
    return PipelineError(
        f"{path} cannot be imported: {type(error).__name__}: {error}.", remedy="Correct the file."
    )


def _end_with_parent() -> None:
    # os.read: a thread that waits inside sys.stdin's lock makes the interpreter's exit abort.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _display_names(spec: Any) -> dict[str, str]:
    """Maps task names to display names, over all the nested DAGs of a pipeline."""
    dags = [spec.root.dag, *(c.dag for c in spec.components.values() if c.HasField("dag"))]
    return {key: task.task_info.name for dag in dags for key, task in dag.tasks.items()}


class _CacheHits(logging.Filter):
    """Tells the person which stages were answered from the cache; KFP only logs it.

    A filter of the root logger, for KFP swaps the logger's handlers while it runs.
    """

    _HIT = re.compile(r"^Task (?P<task>\S+) cache hit")

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self._names = names

    def filter(self, record: logging.LogRecord) -> bool:
        found = self._HIT.match(record.getMessage())
        if found:
            _tell(self._names.get(found["task"], found["task"]), "cached")
        return True


def _tell(stage: str, kind: str, **fields: object) -> None:
    line = json.dumps({"stage": stage, "kind": kind, **fields}) + "\n"
    with Path(os.environ[EVENTS_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(line)


if __name__ == "__main__":
    main()
