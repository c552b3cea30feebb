"""wherry models suggest: a base model for a task, within a memory and under a licence."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wherry.cli.failure import printable
from wherry.cli.options import debug_option, json_option
from wherry.contracts import read_settings
from wherry.contracts.errors import EXIT_FAILED

if TYPE_CHECKING:
    from wherry.select.settings import Need
    from wherry.select.step import Fit, Misfit, Suggestion

Command = TypeVar("Command", bound=Callable[..., Any] | click.Command)

SHOWN: Final = 8
"""How many models that fit are shown; --all shows every one."""
ANSWER_TOKENS: Final = 32
"""Tokens of a training row's answer, at most: the estimate of tuning counts with so many."""


def _asks(*names: str, **options: Any) -> Callable[[Command], Command]:
    return click.option(*names, **{"show_default": True, **options})


@click.command()
@_asks("--task", default="classification", help="What the model is to do.")
@click.option("--memory", default="", help="Memory there is to serve it, such as 8GiB.")
@click.option("--tune-memory", default="", help="Memory there is to tune it.")
@_asks("--license", default="permissive", help="permissive, or also gated, or also restricted.")
@_asks("--context", default=1024, help="Tokens of one conversation.")
@_asks("--parallel", default=4, help="Conversations at the same time.")
@click.option("--language", default="", help="An ISO 639 code that it has to be made for.")
@_asks("--quantization", default="auto", help="F16, Q8_0, Q4_K_M or auto.")
@_asks("--method", default="lora", help="How it would be tuned: lora or full.")
@_asks("--batch", default=16, help="Rows of one tuning step.")
@_asks("--length", default=256, help="Tokens of a training row.")
@_asks("--whole-way", is_flag=True, help="Only what every room can handle today.")
@_asks("--broad", is_flag=True, help="Answers need broad knowledge of the world.")
@_asks("--private", is_flag=True, help="The data may not leave: no API.")
@_asks("--rows", type=int, help="Training rows at hand.")
@_asks("--requests-per-day", type=float, help="How often it will be asked.")
@_asks("--break-even", default=0.0, help="Requests a day from which a server beats an API.")
@_asks("--catalogue", type=click.Path(path_type=Path), help="Your own models, over ours.")
@_asks("--all", "everything", is_flag=True, help="Show every model that fits.")
@json_option
@debug_option
def suggest(as_json: bool, everything: bool, catalogue: Path | None, **asked: Any) -> None:
    """Suggest a base model.

    What fits, why others do not, and when an API is better.
    """
    from wherry.select.run import suggestion_for

    told = suggestion_for(_need(asked), catalogue)
    if as_json:
        print(told.to_json())
    else:
        _show(told, everything)
    if not told.chosen:
        raise SystemExit(EXIT_FAILED)


def _need(asked: dict[str, Any]) -> "Need":
    from wherry.select.settings import Need
    from wherry.select.sizes import parse_size

    for name in ("memory", "tune_memory"):
        option = f"--{name.replace('_', '-')}"
        asked[name] = parse_size(asked[name], where=option) if asked[name] else 0
    recipe = {name: asked.pop(name) for name in ("batch", "length", "method")}
    recipe["completion"] = max(1, min(ANSWER_TOKENS, recipe["length"]))
    return read_settings(Need, {**asked, "recipe": recipe}, where="the options of this command")


def _show(told: "Suggestion", everything: bool) -> None:
    console = Console(highlight=False)
    shown = told.fits if everything else told.fits[:SHOWN]
    if shown:
        console.print(_fits(shown))
        _remarks(console, told, shown)
    else:
        console.print("Nothing fits.")
    lead = "A large model behind an API is the better choice" if told.prefer_api else "Note"
    for advice in told.advice:
        console.print(f"\n[bold]{lead}[/] ({advice.rule}): {escape(advice.reason)}.")
    _misfits(console, told)


def _fits(fits: "Sequence[Fit]") -> Table:
    from wherry.select.sizes import say_size

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    right = ("params", "serve", "tune", "context")
    for heading in ("model", "params", "type", "serve", "tune", "context", "licence", "way"):
        table.add_column(heading, justify="right" if heading in right else "left")
    for fit in fits:
        table.add_row(
            escape(printable(fit.id)) + ("*" if fit.unverified else ""),
            f"{fit.parameters / 1e9:.2f}B",
            fit.quantization,
            say_size(fit.serve_bytes),
            say_size(fit.tune_bytes),
            f"{fit.context:,}",
            fit.terms,
            "tested" if fit.tested else "whole" if fit.whole_way else "part",
        )
    return table


def _remarks(console: Console, told: "Suggestion", shown: "Sequence[Fit]") -> None:
    best = told.fits[0]
    if left := len(told.fits) - len(shown):
        console.print(f"{left} more fit: --all shows them.")
    # soft_wrap: an address that is broken in two cannot be copied.
    console.print(f"\n[bold]{escape(best.id)}[/]: {escape(best.uri)}", soft_wrap=True)
    _line(console, f"{best.name}, {best.licence}. {best.licence_note}")
    if best.uri.endswith("@COMMIT"):
        _line(console, "COMMIT: choose one on the hub, so that it stays the same model.")
    if best.whole_way:
        _line(console, "For the way to a quantized file name a GGUF file of it as the base: "
              "hf://ORG/NAME/FILE.gguf@COMMIT.")  # fmt: skip
    else:
        _line(console, best.note)
    marked = [f"{fit.id}: {', '.join(fit.unverified)}" for fit in shown if fit.unverified]
    if marked:
        _line(console, f"* not compared with a source: {'; '.join(marked)}.")


def _line(console: Console, text: str) -> None:
    console.print(f"[dim]{escape(printable(text.strip()))}[/]")


def _misfits(console: Console, told: "Suggestion") -> None:
    from wherry.select.step import REASONS

    if told.misfits:
        console.print(f"\n[bold]Does not fit[/] ({len(told.misfits)})")
    for reason, heading in REASONS.items():
        if group := [misfit for misfit in told.misfits if misfit.reasons[0] == reason]:
            console.print(f"[bold]{heading}[/]")
            console.print(_grouped(group))


def _grouped(group: "Sequence[Misfit]") -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for misfit in group:
        more = f" (also: {', '.join(misfit.reasons[1:])})" if misfit.reasons[1:] else ""
        mark = "*" if misfit.unverified else ""
        told = escape(printable(misfit.details[0] + more))
        table.add_row(f"  {escape(printable(misfit.id))}{mark}", told)
    return table
