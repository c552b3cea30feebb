"""Refuses a pipeline that KFP's local runner would run wrongly without a word."""

from collections.abc import Iterator
from typing import Any, Final

from wherry.contracts.errors import PipelineError

_BRANCHES: Final = "comp-condition-branches"
"""KFP's name for the DAG that it makes of an If with its Else."""
_RETURNED: Final = "Output"
"""The key of what a component returns, where it has no other output parameter."""


def refuse_traps(spec: Any) -> None:
    """Refuses an If without an Else on a named output.

    kfp 2.17's local runner skips its tasks and reports success: a promotion that hangs on it
    silently never happens, and a check that hangs on it silently never runs.

    Args:
        spec: a compiled `PipelineSpec`.

    Raises:
        PipelineError: naming the condition and the output.
    """
    for condition, output in _lone_conditions(spec):
        raise PipelineError(
            f"The condition {condition!r} hangs on the named output {output!r} and has no Else: "
            "KFP's local runner would skip it and report success.",
            remedy="Add a dsl.Else, or let the component return the value.",
        )


def _lone_conditions(spec: Any) -> Iterator[tuple[str, str]]:
    dags = {name: each.dag for name, each in spec.components.items() if each.HasField("dag")}
    for name, dag in {"root": spec.root.dag, **dags}.items():
        if name.startswith(_BRANCHES):
            continue
        for task in dag.tasks.values():
            if task.trigger_policy.condition:
                yield from ((task.task_info.name, key) for key in _named_outputs(task))


def _named_outputs(task: Any) -> Iterator[str]:
    for parameter in task.inputs.parameters.values():
        key = parameter.task_output_parameter.output_parameter_key
        if key and key != _RETURNED:
            yield key
