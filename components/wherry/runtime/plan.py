"""Turns a settings file into the arguments of a pipeline."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from wherry.contracts import Code
from wherry.contracts.errors import MissingError, SettingsError
from wherry.strict_yaml import StrictLoader

_ROOMS: Final = (
    "ingest", "base", "validate", "tune", "tune_job", "evaluate", "quantize", "gate", "release",
    "deploy",
)  # fmt: skip
_NAME: Final = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
"""A DNS label: the name becomes a Kubernetes and a Vertex name too."""
_DEPLOY_TARGET: Final = {"kubeflow": "kserve", "vertex": "vertex"}
LONGEST_ARGUMENT: Final = 100_000
"""In bytes. Linux refuses one argument over 128 KiB, KFP's own text included."""


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do, as read from its settings file."""

    name: str
    base_uri: str
    data_repo: str
    data_revision: str
    rooms: Mapping[str, Mapping[str, Any]]
    """Settings by room; a room that is not named has its defaults."""

    def for_target(self, target: str) -> "Plan":
        """Gives the plan as a cluster runs it: deployed where the pipeline runs.

        Args:
            target: ``kubeflow`` or ``vertex``.
        """
        deploy = {**self.rooms.get("deploy", {}), "target": _DEPLOY_TARGET[target]}
        return replace(self, rooms={**self.rooms, "deploy": deploy})

    def arguments(self, *, checksum: str, code: Code, repo: str = "") -> dict[str, str]:
        """Gives the pipeline's arguments; settings travel as JSON strings.

        Args:
            checksum: of the data, so that a cached ingest follows the data.
            code: what runs.
            repo: instead of the settings' repository, such as its absolute path.
        """
        settings = {f"{room}_settings": _json(self.rooms.get(room, {})) for room in _ROOMS}
        arguments = {
            "name": self.name,
            "base_uri": self.base_uri,
            "data_repo": repo or self.data_repo,
            "data_revision": self.data_revision,
            "data_checksum": checksum,
            **settings,
            "run_settings": _json({"base": self.base_uri, **settings}),
            # One line: KFP copies defaults into a comment, where a second line breaks the YAML.
            "code": _json(asdict(code)),
        }
        for key, value in arguments.items():
            _check_argument(key, value)
        return arguments


def read_plan(path: Path) -> Plan:
    """Reads a settings file; ``!include other.yaml`` takes in a file beside it.

    Raises:
        MissingError: if the file or an included one is not there.
        SettingsError: if it is no YAML, or a section is unknown or of the wrong type.
    """
    raw = load_file(path, remedy="Name a file with --settings.")
    known = {"name", "base", "data", *_ROOMS}
    if unknown := sorted(set(raw) - known):
        raise SettingsError(
            f"{path}: unknown section {unknown[0]!r}, expected one of {', '.join(sorted(known))}.",
            remedy="Correct or remove it.",
        )
    data = _section(path, raw, "data", {"repo": ".", "revision": ""})
    base_uri, base = _base(path, raw)
    rooms = {room: base if room == "base" else _mapping(path, raw, room) for room in _ROOMS}
    for room, settings in rooms.items():
        _check_json(path, room, settings)
    return Plan(
        name=_named(path, raw),
        base_uri=base_uri,
        data_repo=str(data["repo"]),
        data_revision=str(data["revision"]),
        rooms=rooms,
    )


def load_file(
    path: Path, included_by: tuple[str, ...] = (), *, remedy: str = "Check the path."
) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping; as `read_plan`.

    Args:
        path: of the file.
        included_by: names of the files that it is part of, which it cannot include again.
        remedy: what to do if it is not there and nothing includes it.
    """
    if not path.is_file():
        includer = f"Put it beside {included_by[-1]}, which includes it." if included_by else ""
        raise MissingError(f"{path} does not exist.", remedy=includer or remedy)
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader(path, included_by))  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no YAML: {error}.", remedy="Correct it.") from error
    if not isinstance(raw, dict):
        raise SettingsError(
            f"{path} holds {type(raw).__name__}, expected a mapping.", remedy="Correct it."
        )
    return raw


def _loader(path: Path, included_by: tuple[str, ...]) -> type[yaml.SafeLoader]:
    open_files = (*included_by, path.name)

    class Loader(StrictLoader):
        """One that takes in files from the same folder."""

    def include(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, Any]:
        name = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else ""
        if not name or Path(str(name)).name != name or name in open_files:
            raise SettingsError(
                f"{path}: cannot include {name!r}, expected another file in the same folder.",
                remedy="Put the file there and write its name alone.",
            )
        return load_file(path.parent / str(name), open_files)

    Loader.add_constructor("!include", include)
    return Loader


def _named(path: Path, raw: Mapping[str, Any]) -> str:
    name = str(_required(path, raw, "name"))
    if not _NAME.match(name):
        raise SettingsError(
            f"{path}: name {name!r} is no DNS label.",
            remedy="Use lower-case letters, digits and dashes, 63 at most.",
        )
    return name


def _base(path: Path, raw: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Gives the base model's address, and the settings of its room where it is a mapping."""
    if not isinstance(_required(path, raw, "base"), dict):
        return str(raw["base"]), {}
    section = dict(raw["base"])
    uri = _required(path, section, "uri", "section 'base'")
    del section["uri"]
    return str(uri), section


def _required(path: Path, raw: Mapping[str, Any], key: str, where: str = "") -> Any:
    if not raw.get(key):
        within = f", {where}," if where else ""
        raise SettingsError(f"{path}{within} has no {key!r}.", remedy=f"Add `{key}: …`.")
    return raw[key]


def _mapping(path: Path, raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = {} if raw.get(key) is None else raw[key]
    if not isinstance(value, dict):
        raise SettingsError(
            f"{path}: section {key!r} is {type(value).__name__}, expected a mapping.",
            remedy="Correct it.",
        )
    return value


def _section(
    path: Path, raw: Mapping[str, Any], key: str, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    value = _mapping(path, raw, key)
    if unknown := sorted(set(value) - set(defaults)):
        raise SettingsError(
            f"{path}: unknown field {key}.{unknown[0]}, expected one of {', '.join(defaults)}.",
            remedy="Correct or remove it.",
        )
    return {**defaults, **{name: given for name, given in value.items() if given is not None}}


def _check_json(path: Path, room: str, settings: Mapping[str, Any]) -> None:
    """Refuses what YAML can say and JSON, as which settings travel, cannot: dates, ``.inf``."""
    try:
        _json(settings)
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"{path}: section {room!r} holds what has no form in JSON: {error}.",
            remedy="Put a date in quotes; write numbers in plain digits.",
        ) from error


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _check_argument(key: str, value: str) -> None:
    if len(value.encode()) > LONGEST_ARGUMENT:
        raise SettingsError(
            f"{key} takes {len(value.encode())} bytes, expected at most {LONGEST_ARGUMENT}.",
            remedy="Shorten it: data travels as artifacts, not as settings.",
        )
    if "python3" in value:
        # KFP's local runner replaces the word by the interpreter's path, in data too.
        raise SettingsError(
            f"{key} holds the text 'python3', which KFP's local runner would replace.",
            remedy="Rename the path or the value.",
        )
