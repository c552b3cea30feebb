"""Options that several commands share."""

from pathlib import Path

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of a failure."
)
settings_option = click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("pipelines/settings/icd10.yaml"),
    show_default=True,
    help="The run's settings.",
)
pipeline_option = click.option(
    "--pipeline",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("pipelines/train_to_deploy.py"),
    show_default=True,
    help="A file with build(target).",
)
