"""wherry models show, diff, history and at: what the versions are and were."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from wherry.cli.failure import one_line
from wherry.cli.moves import check_released, open_ledger, parse_version
from wherry.cli.options import debug_option, json_option
from wherry.contracts import Approval, Metric, Release, Scores
from wherry.contracts.errors import SettingsError
from wherry.ledger import CHAMPION, Pointed, alias_moves, approval_missing, pointed_at
from wherry.release.vouched import approval_flaw
from wherry.signing import KeyFolder, Keyring, keys_folder, load_keyring


@click.command()
@click.argument("model")
@json_option
@debug_option
def show(model: str, as_json: bool) -> None:
    """Show MODEL (NAME:VERSION).

    Its state, what it was made from, its scores and approvals. An approval counts only if a key
    that is trusted here verifies it.
    """
    name, version = parse_version(model)
    with open_ledger() as ledger:
        release = ledger.find(name, version)
        scores = ledger.scores_of(name, version)
        blessing, keyring = ledger.blessing_of(name, version), _keyring()
        approvals = [(one, approval_flaw(one, keyring)) for one in ledger.approvals(name, version)]
    missing = approval_missing(blessing, [one for one, flaw in approvals if not flaw])
    if as_json:
        found = [
            {**json.loads(one.to_json()), "verified": not flaw, "flaw": flaw}
            for one, flaw in approvals
        ]
        plain = {"release": json.loads(release.to_json()), "scores": json.loads(scores.to_json())}
        print(json.dumps({**plain, "approvals": found, "missing_approval": missing}, indent=2))
        return
    console = Console(highlight=False, markup=False)
    console.print(_pairs(_facts(release, approvals, missing)))
    console.print()
    console.print(_scores_table(scores))


@click.command()
@click.argument("model")
@click.argument("other", type=click.IntRange(1, 999_999_999))
@json_option
@debug_option
def diff(model: str, other: int, as_json: bool) -> None:
    """Compare the records of two versions.

    `diff icd10-triage:1 2` shows scores, size, and what they were made from.
    """
    name, version = parse_version(model)
    with open_ledger() as ledger:
        pair = [ledger.find(name, one) for one in (version, other)]
        scores = [ledger.scores_of(name, one) for one in (version, other)]
    changed = list(_changed(*pair))
    metrics = list(_compared(*scores))
    if as_json:
        lines = [{"what": what, "before": one, "now": two} for what, one, two in changed]
        found = [{"metric": name, "before": one, "now": two} for name, one, two, _ in metrics]
        same = scores[0].data_digest == scores[1].data_digest
        print(json.dumps({"changed": lines, "metrics": found, "same_test_data": same}, indent=2))
        return
    console = Console(highlight=False, markup=False)
    console.print(_diff_table(name, version, other, changed, metrics))
    if scores[0].data_digest != scores[1].data_digest:
        console.print("Scored on different test data: the scores cannot be compared.")


@click.command()
@click.argument("name")
@click.argument("alias", default=CHAMPION)
@json_option
@debug_option
def history(name: str, alias: str, as_json: bool) -> None:
    """List where ALIAS of NAME pointed, since when, by whom and why."""
    with open_ledger() as ledger:
        check_released(ledger, name)
        found = alias_moves(ledger.audit(), name, alias)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return
    if not found:
        print(f"{alias} of {name} never pointed anywhere.")
        return
    Console(highlight=False, markup=False).print(_history_table(found))
    if any(one.skewed for one in found):
        print("* a row before it has a later time: a clock was wrong. Rows are ordered by number.")


@click.command()
@click.argument("moment")
@click.option("--model", "name", default="", help="One model; all if left out.")
@click.option("--alias", default=CHAMPION, show_default=True)
@json_option
@debug_option
def at(moment: str, name: str, alias: str, as_json: bool) -> None:
    """Say what was live at MOMENT, such as 2026-03-01T12:00Z.

    Without a zone it is UTC.
    """
    when = read_moment(moment)
    with open_ledger() as ledger:
        if name:
            check_released(ledger, name)
        names = [name] if name else sorted({one.name for one in ledger.releases()})
        rows = list(ledger.audit())
        found = {each: pointed_at(alias_moves(rows, each, alias), when) for each in names}
        digests = {each: ledger.find(each, at.version).digest for each, at in found.items() if at}
    if as_json:
        plain = {
            each: {**asdict(at), "digest": digests[each]} if at else None
            for each, at in found.items()
        }
        print(json.dumps({"at": when.isoformat(), "alias": alias, "models": plain}, indent=2))
        return
    for each, at in found.items():
        told = (
            f"version {at.version}, {digests[each]}, since {_short(at.ts)} (audit row {at.seq})"
            if at
            else "no version"
        )
        print(f"{each}: {alias} was {told}")


COMMANDS = (show, diff, history, at)


def read_moment(text: str) -> datetime:
    """Reads a moment by ISO 8601; without a zone it is UTC.

    Raises:
        SettingsError: on any other form.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is no moment: expected such as 2026-03-01T12:00Z.",
            remedy="Write it by ISO 8601.",
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _keyring() -> Keyring:
    """Gives the keys that are trusted here; none where there is no keyring."""
    return load_keyring() if KeyFolder(keys_folder()).exists() else Keyring()


def _facts(
    release: Release, approvals: list[tuple[Approval, str]], missing: str
) -> Iterator[tuple[str, str]]:
    lineage = release.lineage
    yield "model", f"{release.name} version {release.version}"
    gone = ("its file was given up",) if release.expired else ()
    yield "state", ", ".join((release.state, *gone, *release.aliases))
    yield "digest", release.digest
    yield "size", f"{release.size / 1e6:.1f} MB"
    yield "file", release.uri
    yield "released", _short(release.created)
    yield "base", lineage.base_uri
    source = lineage.data_source
    yield "data", f"{source.uri} {source.path} {source.revision[:12]}".strip()
    yield "data digest", lineage.data_digest
    yield "policy", lineage.policy_digest
    yield "code", f"wherry {lineage.code.version} {lineage.code.commit[:12]}".strip()
    for one, flaw in approvals:
        part = f" as {one.role}" if one.role else ""
        told = f"{_short(one.given)} by {one.who}{part}: {one.meaning}"
        yield "not counted" if flaw else "approved", one_line(f"{told} {flaw}".strip())
    if missing:
        yield "missing", missing


def _pairs(facts: Iterator[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for fact in facts:
        table.add_row(*fact)
    return table


def _scores_table(scores: Scores) -> Table:
    table = _headed("metric", "value", "95% interval", "n")
    for metric in scores.metrics:
        if not metric.slice:
            table.add_row(metric.name, _value(metric), _interval(metric), str(metric.n))
    return table


def _changed(one: Release, two: Release) -> Iterator[tuple[str, str, str]]:
    before, now = _flat(one), _flat(two)
    for what in before:
        if before[what] != now[what]:
            yield what, before[what], now[what]


def _flat(release: Release) -> dict[str, str]:
    lineage = asdict(release.lineage)
    source, code = lineage.pop("data_source"), lineage.pop("code")
    plain: dict[str, Any] = {"digest": release.digest, "size": release.size, **lineage}
    plain |= {f"data {key}": value for key, value in source.items()}
    plain |= {f"code {key}": value for key, value in code.items()}
    return {key.replace("_", " "): str(value) for key, value in plain.items()}


def _compared(one: Scores, two: Scores) -> Iterator[tuple[str, float | None, float | None, Metric]]:
    for metric in two.metrics:
        before = one.find(metric.name, metric.slice)
        if not metric.slice:
            yield metric.name, before.value if before else None, metric.value, metric


def _diff_table(
    name: str,
    version: int,
    other: int,
    changed: list[tuple[str, str, str]],
    metrics: list[tuple[str, float | None, float | None, Metric]],
) -> Table:
    table = _headed(name, f"v{version}", f"v{other}", "change")
    for metric, before, now, like in metrics:
        delta = "" if before is None or now is None else _delta(now - before, like)
        table.add_row(metric, _number(before, like), _number(now, like), delta)
    for what, before_text, now_text in changed:
        table.add_row(what, _brief(before_text), _brief(now_text), "")
    return table


def _history_table(found: list[Pointed]) -> Table:
    table = _headed("row", "since (UTC)", "version", "by", "action", "reason")
    for one in found:
        star = "*" if one.skewed else ""
        who = one.actor.id if one.actor else "-"
        since, why = _short(one.ts) + star, one_line(one.reason)
        table.add_row(str(one.seq), since, str(one.version), who, one.action, why)
    return table


def _headed(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for heading in headings:
        table.add_column(heading)
    return table


def _value(metric: Metric) -> str:
    return _number(metric.value, metric)


def _number(value: float | None, like: Metric) -> str:
    if value is None:
        return "-"
    if like.unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    return f"{value:.3g} {like.unit}" if like.unit else f"{value:.1%}"


def _delta(value: float, like: Metric) -> str:
    if like.unit == "bytes":
        return f"{value / 1e6:+.1f} MB"
    return f"{value:+.3g} {like.unit}" if like.unit else f"{100 * value:+.1f} points"


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{_number(metric.low, metric)} to {_number(metric.high, metric)}"


def _brief(text: str) -> str:
    return text.removeprefix("sha256:")[:16] if text.startswith("sha256:") else text


def _short(ts: str) -> str:
    return ts[:16].replace("T", " ")
