"""Finds benchmark tasks' files, and puts data that lies here in the place of the hub's."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import lm_eval.tasks
import yaml
from lm_eval.config.task import TaskConfig

from wherry.contracts import digest_bytes
from wherry.contracts.errors import MissingError, SettingsError
from wherry.strict_yaml import StrictLoader

_STANDARD: Final = {
    "hellaswag": "hellaswag",
    "openbookqa": "openbookqa",
    "winogrande": "winogrande",
    "arc_challenge": "arc",
    "arc_easy": "arc",
    "boolq": "super_glue/boolq",
    "piqa": "piqa",
    "mmlu": "mmlu/default",
}
"""Where the harness keeps the best known tasks. It has 14,000 files, which take six seconds to
read; these few are found without."""
_FIELDS: Final = {*(each.name for each in fields(TaskConfig)), "include", "task_list"}
"""What may stand in a file of a task."""
_FORMATS: Final = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def task_folders(names: Sequence[str], own: Path | None) -> list[Path]:
    """Gives the folders that task files are read from, or none for all that the harness has.

    Args:
        names: the tasks that are wanted.
        own: a folder of a team's own task files, or None.
    """
    home = Path(lm_eval.tasks.__file__).parent
    defined = _defined(own) if own else {}
    wanted = set(names).union(*(defined.get(name, ()) for name in names)) - defined.keys()
    if not all(_family(name) in _STANDARD for name in wanted):
        return [home, own] if own else []
    folders = {home / _STANDARD[_family(name)]: None for name in sorted(wanted)}
    return [*folders, *([own] if own else [])]


def _family(name: str) -> str:
    return "mmlu" if name.startswith("mmlu_") else name


class _Plain(StrictLoader):
    """Reads task files without running the Python that they name."""


_Plain.add_constructor("!function", lambda _loader, node: str(node.value))


def _defined(folder: Path) -> dict[str, list[str]]:
    """Gives the names that task files define, and of groups the tasks that they put together."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        try:
            # A SafeLoader: it builds plain values and knows one more tag, whose text it keeps.
            config = yaml.load(path.read_text(), Loader=_Plain)  # noqa: S506
        except yaml.YAMLError as error:
            raise SettingsError(
                f"The task file {path.name} is no YAML: {str(error).splitlines()[0]}.",
                remedy="Correct it.",
            ) from error
        config = config if isinstance(config, dict) else {}
        _check_fields(path, config)
        _check_includes(path, config.get("include") or [])
        members, tags = config.get("task"), config.get("tag") or []
        own = (
            [config["group"]]
            if "group" in config
            else [members, *([tags] if isinstance(tags, str) else tags)]
        )
        for name in own:
            if isinstance(name, str):
                found[name] = members if isinstance(members, list) else []
    return found


def _check_fields(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses what the harness would refuse without a word on where it stands."""
    # A class has fields of its own, and may stand in the file that this one includes.
    if config.keys() & {"group", "class", "include"}:
        return
    if unknown := sorted(map(str, config.keys() - _FIELDS)):
        raise SettingsError(
            f"The task file {path.name} has an unknown field {unknown[0]!r}, expected one of "
            f"{', '.join(sorted(_FIELDS))}.",
            remedy="Correct it.",
        )


def _check_includes(path: Path, names: str | Sequence[str]) -> None:
    """Refuses a file that the harness would leave out without a word."""
    for name in [names] if isinstance(names, str) else names:
        if not (path.parent / name).is_file():
            raise SettingsError(
                f"The task file {path.name} includes {name}, which is not there.",
                remedy="Name a file, relative to the one that includes it.",
            )


def local_tasks(
    names: Sequence[str], index: Mapping[str, Any], data: Path, folder: Path, *, shots: int = 0
) -> None:
    """Writes task files that are the harness's own but read their data here.

    A task's data lies in ``DATA/TASK/SPLIT.jsonl`` (or ``.json``, ``.parquet``, ``.csv``), or is a
    copy of the hub's data set in ``DATA/ORGANISATION/NAME``. Of a task's splits the one that it is
    asked from suffices, and the one with solved examples if any are shown. Either all the tasks'
    data is here or none of it: half of a group would be another benchmark.

    Args:
        names: tasks and groups.
        index: the harness's, by name.
        data: the folder.
        folder: where to write; ``cache`` beside it gets what reading leaves behind.
        shots: solved examples that are shown.

    Raises:
        MissingError: naming a task whose data is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        for leaf in leaves(name, index):
            entry = index[leaf]
            shown = shots > 0 or bool(entry.cfg.get("num_fewshot"))
            found = _source(leaf, entry.cfg, data, folder.parent / "cache", shown=shown)
            made = {"include": str(entry.yaml_path), "task": leaf, **found}
            # Not by its name, which may have a slash in it.
            name_of_file = f"{digest_bytes(leaf.encode()).removeprefix('sha256:')}.yaml"
            (folder / name_of_file).write_text(yaml.safe_dump(made))


def leaves(name: str, index: Mapping[str, Any]) -> Iterator[str]:
    """Gives the tasks that a task, a group or a tag stands for.

    Raises:
        SettingsError: if there is no such name, or a group has no names but changed tasks.
    """
    if name not in index:
        raise SettingsError(
            f"There is no benchmark task {name!r}.",
            remedy="Run `lm-eval ls tasks` for the harness's own, or hand your task files over.",
        )
    entry = index[name]
    members = sorted(entry.tags) if entry.yaml_path is None else entry.cfg["task"]
    if isinstance(members, str):
        yield name
        return
    for member in members:
        if not isinstance(member, str):
            raise SettingsError(
                f"The group {name!r} changes its tasks in place.",
                remedy="Write each task into a file of its own, and name it in the group.",
            )
        yield from leaves(member, index)


def _source(
    task: str, config: Mapping[str, Any], data: Path, cache: Path, *, shown: bool
) -> dict[str, Any]:
    kept = {"cache_dir": str(cache)}
    files = {path.stem: path for path in sorted((data / task).glob("*.*")) if _format(path)}
    if files:
        formats = {_format(path) for path in files.values()}
        if len(formats) > 1:
            raise SettingsError(
                f"The data of {task} is of several formats: {', '.join(sorted(formats))}.",
                remedy="Keep one.",
            )
        _check_rows(task, files.values())
        splits = {split: str(path) for split, path in files.items()}
        return {
            "dataset_path": formats.pop(),
            "dataset_name": None,
            "dataset_kwargs": {"data_files": splits, **kept},
            **_left_out(task, config, splits, shown=shown),
        }
    copy = data / str(config.get("dataset_path", ""))
    if config.get("dataset_path") and copy.is_dir():
        return {"dataset_path": str(copy), "dataset_kwargs": kept}
    raise MissingError(
        f"{data} holds no data of the task {task!r}.",
        remedy=f"Put it into {task}/SPLIT.jsonl, or the hub's {config.get('dataset_path')} there.",
    )


def _check_rows(task: str, files: Iterable[Path]) -> None:
    for path in files:
        if not path.stat().st_size:
            raise MissingError(
                f"The data of {task} is empty: {task}/{path.name}.",
                remedy="Fill it or take it out.",
            )


def _left_out(
    task: str, config: Mapping[str, Any], splits: Collection[str], *, shown: bool
) -> dict[str, None]:
    """Takes out the splits that the data lacks and that nobody is asked from.

    The harness wants them all, though the training split only has solved examples, and nobody is
    asked from validation where there is a test split.

    Raises:
        MissingError: if examples are shown: without a training split the harness would show
            questions of the split that is asked.
    """
    spare = ["training_split"]
    if config.get("test_split") in splits:
        spare.append("validation_split")
    found = {key: None for key in spare if config.get(key) and config[key] not in splits}
    if shown and "training_split" in found and not config.get("fewshot_split"):
        split = config["training_split"]
        raise MissingError(
            f"The data of {task} has no split {split!r}, which has its solved examples.",
            remedy=f"Put {task}/{split}.jsonl beside the others, or set shots to 0.",
        )
    return found


def _format(path: Path) -> str:
    return _FORMATS.get(path.suffix, "")
