"""wherry doctor: whether this machine can run the whole way, and what to mend."""

import ctypes
import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

import click
import psutil
from rich.console import Console
from rich.text import Text

from wherry.cli.failure import printable
from wherry.cli.options import debug_option, json_option, settings_option
from wherry.cli.preflight import check_settings
from wherry.contracts import parse_uri, read_settings
from wherry.contracts.errors import WherryError
from wherry.deploy.settings import DeploySettings
from wherry.ledger import Ledger
from wherry.runtime.plan import Plan, read_plan
from wherry.signing import KEYS_VARIABLE, KeyFolder, keys_folder, load_signer
from wherry.workspace import state, workspace

_EXTRAS: Final = {
    "pipelines": ("kfp", "kfp_kubernetes:kfp.kubernetes"),
    "ingest": ("dvc", "duckdb", "polars"),
    "validate": ("great_expectations", "tokenizers"),
    "tune": ("torch", "transformers", "peft"),
    "evaluate": ("scipy", "sacrebleu"),
    "quantize": ("gguf", "xllamacpp"),
    "report": ("jinja2",),
    "serve": ("kserve", "xllamacpp"),
}
_PYTHONS: Final = ((3, 11), (3, 14))
"""From the one to below the other: Great Expectations takes none newer yet."""
DISK_BYTES: Final = 5 * 10**9
"""What one run of the demo may take, with room to spare."""
MEMORY_BYTES: Final = 4 * 10**9
"""Tuning SmolLM2-135M peaks below 3 GB."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str
    remedy: str = ""


@click.command()
@settings_option
@json_option
@debug_option
def doctor(settings: Path, as_json: bool) -> None:
    """Check that this machine can run the pipeline.

    Packages, disk, memory, ledger, keys, settings, data store, base model, port. Exit code 1 if
    anything is amiss.
    """
    findings = list(_look(settings))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _show(finding)
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _show(finding: Finding) -> None:
    mark = ("✓", "green") if finding.ok else ("✗", "red")
    console = Console(highlight=False)
    detail = printable(finding.detail)
    console.print(Text.assemble(mark, f" {finding.what:<10} {detail}"), soft_wrap=True)
    if not finding.ok:
        console.print(Text(f"             {printable(finding.remedy)}", "bold"), soft_wrap=True)


def _look(settings: Path) -> Iterator[Finding]:
    yield _python()
    yield from (_extra(name, modules) for name, modules in _EXTRAS.items())
    yield _openmp()
    yield _workspace()
    yield _room("disk", shutil.disk_usage(_existing(state())).free, DISK_BYTES, "Free some space.")
    # Available, not free: what the system keeps of files it gives back at once.
    memory = psutil.virtual_memory().available
    yield _room("memory", memory, MEMORY_BYTES, "End other programs.")
    yield _ledger()
    yield _keys()
    try:
        plan = read_plan(settings)
        check_settings(plan, settings)
    except WherryError as error:
        yield Finding("settings", False, error.message, error.remedy)
        return
    yield Finding("settings", True, str(settings))
    yield _data(plan)
    yield _base(plan)
    yield _port(plan)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]
    return Finding("python", fits, version, "Use Python 3.11, 3.12 or 3.13.")


def _extra(name: str, modules: tuple[str, ...]) -> Finding:
    missing = [entry for entry in modules if not _spec(entry.rpartition(":")[2])]
    remedy = f'Run: pip install "wherry[{name}]"'
    if missing:
        return Finding(name, False, f"{', '.join(missing)} not installed", remedy)
    versions = [_version(entry.partition(":")[0]) for entry in modules]
    return Finding(name, True, ", ".join(versions))


def _openmp(library: str = "libgomp.so.1") -> Finding:
    """Looks for the one library of the system that llama.cpp's wheel does not bring along."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        return Finding("openmp", False, str(error), "Install it: Debian's libgomp1.")
    return Finding("openmp", True, library)


def _spec(module: str) -> bool:
    parent, dot, _ = module.rpartition(".")
    # find_spec imports the parents: look for a submodule's file instead, kfp takes seconds.
    if not dot:
        return find_spec(module) is not None
    spec = find_spec(parent)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return folder is not None and (folder / module.rpartition(".")[2]).exists()


def _version(module: str) -> str:
    return f"{module} {importlib.metadata.version(module)}"


def _workspace() -> Finding:
    place = _existing(state())
    ok = place.is_dir() and os.access(place, os.R_OK | os.W_OK | os.X_OK)
    detail = str(state()) if ok else f"{place} is no folder that you may write to"
    return Finding("workspace", ok, detail, "Set WHERRY_HOME to another folder.")


def _room(what: str, free: int, wanted: int, remedy: str) -> Finding:
    detail = f"{free / 1e9:.0f} GB free, {wanted / 1e9:.0f} GB wanted"
    return Finding(what, free >= wanted, detail, remedy)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _ledger() -> Finding:
    try:
        if not Ledger.exists(state()):
            return Finding("ledger", True, f"none yet in {state()}")
        with Ledger.open(state()) as ledger:
            found = ledger.verify()
    except WherryError as error:
        return Finding("ledger", False, error.message, error.remedy)
    detail = f"{found.rows} audit rows, chain verified" if found.ok else found.reason
    return Finding("ledger", found.ok, detail, found.remedy)


def _keys() -> Finding:
    if not KeyFolder(keys_folder()).exists() and not os.environ.get(KEYS_VARIABLE):
        return Finding("keys", True, "none yet: the first run makes one")
    try:
        key = load_signer().key
    except WherryError as error:
        return Finding("keys", False, error.message, error.remedy)
    return Finding("keys", True, f"{key.short} of {key.owner} signs, from {keys_folder()}")


def _data(plan: Plan) -> Finding:
    from wherry.cli.run import local_repo, resolve_data

    try:
        source = resolve_data(plan, local_repo(plan))
    except WherryError as error:
        return Finding("data", False, error.message, error.remedy)
    return Finding("data", True, f"{source.path}, {source.checksum}")


def _base(plan: Plan) -> Finding:
    from wherry.base.step import locate

    if plan.base_uri.startswith("hf:"):
        return Finding("base", True, f"{plan.base_uri}, fetched when a run needs it")
    try:
        path = locate(parse_uri(plan.base_uri, workspace=workspace()), _no_hub)
    except WherryError as error:
        return Finding("base", False, error.message, error.remedy)
    return Finding("base", True, f"{plan.base_uri}, {path.stat().st_size / 1e6:.0f} MB")


def _no_hub() -> NoReturn:
    raise AssertionError("a model on a hub is not looked for here")


def _port(plan: Plan) -> Finding:
    from wherry.deploy.run import check_port, status

    settings = read_settings(DeploySettings, dict(plan.rooms["deploy"]))
    try:
        check_port(plan.name, settings)
        live = status(plan.name)
    except WherryError as error:
        return Finding("port", False, error.message, error.remedy)
    ours = live is not None and live.healthy and live.url.endswith(f":{settings.port}")
    return Finding("port", True, f"{settings.port} {f'serves {plan.name}' if ours else 'is free'}")
