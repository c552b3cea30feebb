"""wherry run: from versioned data to a served release on this machine."""

import json
import re
import time
from pathlib import Path
from typing import Final, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from wherry.cli.failure import printable
from wherry.cli.keys import ensure_key
from wherry.cli.options import debug_option, json_option, pipeline_option, settings_option
from wherry.cli.preflight import check_settings
from wherry.cli.show import RunDisplay
from wherry.contracts import Deployment, Release, Source, parse_uri, read_settings
from wherry.contracts.errors import WherryError
from wherry.contracts.record import Record
from wherry.deploy.settings import DeploySettings
from wherry.ledger import CHAMPION
from wherry.runtime.identity import code_of, code_tag
from wherry.runtime.local import Run, run_pipeline
from wherry.runtime.plan import Plan, read_plan
from wherry.workspace import state, workspace

ADDRESS: Final = re.compile(r"^([a-z][a-z0-9+]+:|[\w.-]+@[\w.-]+:)")
"""``s3://…``, ``file:…``, and git's short form of an SSH address."""


@click.command()
@settings_option
@pipeline_option
@click.option("--no-cache", is_flag=True, help="Run every stage, changed or not.")
@json_option
@debug_option
def run(settings: Path, pipeline: Path, no_cache: bool, as_json: bool) -> None:
    """Run the pipeline on this machine.

    Ingest, validate, tune, …, release, deploy, report. Stages whose inputs did not change are
    reused. Exit code 3: the gate refused.
    """
    started = time.monotonic()
    plan = read_plan(settings)
    check_settings(plan, settings)
    console = Console(stderr=True, quiet=as_json, highlight=False)
    ensure_key(console)
    _foresee_conversion(plan, console)
    _foresee_port(plan, console)
    repo = local_repo(plan)
    source = resolve_data(plan, repo)
    with RunDisplay(console) as display:
        display.console.print(
            escape(f"{plan.name}: {settings} through {pipeline}, state in {state()}"),
            soft_wrap=True,
        )
        done = run_pipeline(
            pipeline,
            plan.arguments(checksum=source.checksum, code=code_of(Path.cwd()), repo=repo),
            state=state(),
            tag=code_tag(pipeline),
            on_event=display.show,
            cache=not no_cache,
        )
    _show(done, time.monotonic() - started, as_json=as_json)


def local_repo(plan: Plan) -> str:
    """Makes a local path absolute: the tasks run in folders of their own."""
    return plan.data_repo if ADDRESS.match(plan.data_repo) else str(Path(plan.data_repo).absolute())


def resolve_data(plan: Plan, repo: str) -> Source:
    """Resolves the data to a content hash first: KFP's cache must follow the data, not a name."""
    from wherry.ingest.run import resolve
    from wherry.ingest.settings import IngestSettings

    settings = read_settings(IngestSettings, dict(plan.rooms["ingest"]), where="ingest")
    return resolve(repo, plan.data_revision, settings.path)


def _foresee_conversion(plan: Plan, console: Console) -> None:
    """Tells of a base without its GGUF file; a pipeline may be without `quantize`, so no more."""
    if not parse_uri(plan.base_uri, workspace=workspace()).path.endswith(".gguf"):
        told = escape(printable(f"{plan.base_uri} names no GGUF file, whose tokenizer it copies."))
        console.print(
            f"[bold yellow]Quantizing would fail:[/] {told} Name the model's own, such as "
            "hf://ORG/NAME/FILE.gguf@COMMIT.",
            soft_wrap=True,
        )


def _foresee_port(plan: Plan, console: Console) -> None:
    """Tells of a taken port before the minutes of tuning; it may be free by then, so no more."""
    from wherry.deploy.run import check_port

    settings = read_settings(DeploySettings, dict(plan.rooms["deploy"]))
    try:
        check_port(plan.name, settings)
    except WherryError as error:
        told = escape(printable(f"{error.message} {error.remedy}"))
        console.print(f"[bold yellow]The deploy would fail:[/] {told}", soft_wrap=True)


def _show(run: Run, seconds: float, *, as_json: bool) -> None:
    release = _read(Release, run, "release")
    deployment = _read(Deployment, run, "deployment")
    report = run.publish_report()
    if as_json:
        records = {"release": release, "deployment": deployment}
        body = {key: json.loads(value.to_json()) for key, value in records.items() if value}
        body |= {"report": str(report) if report else None, "seconds": round(seconds, 1)}
        print(json.dumps(body, indent=2))
        return
    console = Console(highlight=False)
    if release:
        console.print(f"\n{standing(release)} {seconds:.0f} s in all.", soft_wrap=True)
    if deployment:
        console.print(f"[bold]Served[/]  {deployment.url}")
        console.print(f"[bold]Try[/]     {curl(deployment)}", soft_wrap=True)
    if report:
        console.print(f"[bold]Report[/]  {escape(str(report))}", soft_wrap=True)


def standing(release: Release) -> str:
    """Says whether a version is live now, in rich's markup."""
    version = f"{release.name} version {release.version}"
    if CHAMPION in release.aliases:
        return f"[bold green]{version}[/] is the champion."
    show = f"wherry models show {release.name}:{release.version}"
    return f"[bold yellow]{version}[/] is registered and not live: see `{show}`."


def curl(deployment: Deployment) -> str:
    """Gives a command line that asks the server a question, escaped for rich's markup."""
    body = deployment.example.replace("'", "'\\''")
    url = f"{deployment.url}/openai/v1/chat/completions"
    return escape(f"curl -s {url} -H 'content-type: application/json' -d '{body}'")


R = TypeVar("R", bound=Record)


def _read(kind: type[R], run: Run, name: str) -> R | None:
    path = run.artifact(name)
    return kind.read(path) if path else None
