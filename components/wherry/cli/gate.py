"""wherry gate: a policy in words, scores judged by it, and the waivers of its rules."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wherry.cli.failure import printable
from wherry.cli.options import debug_option, json_option
from wherry.contracts import (
    Blessing,
    Check,
    Digest,
    PairedTests,
    Scores,
    Waiver,
    digest_file,
    read_settings,
)
from wherry.contracts.errors import EXIT_REFUSED, RoleError, SettingsError
from wherry.contracts.parity import Parity
from wherry.gate.evidence import Evidence
from wherry.gate.fair import of_file, parity_check, same_ground
from wherry.gate.settings import Policy, rule_names
from wherry.gate.step import judge, policy_digest
from wherry.gate.waivers import Waivers
from wherry.gate.words import explain as words
from wherry.ledger.roles import read_roles
from wherry.ledger.rules import check_label
from wherry.runtime.plan import load_file
from wherry.workspace import state

_FILE = click.Path(path_type=Path, dir_okay=False)
policy_argument = click.argument("policy", type=_FILE)
policy_option = click.option("--policy", type=_FILE, required=True, help="The policy's file.")


@click.group()
def gate() -> None:
    """Explain a policy, judge by it, waive a rule, verify a blessing.

    A policy is a file of its own, such as gate.yaml, or the section `gate` of a run's settings.
    """


@gate.command()
@policy_argument
@json_option
@debug_option
def explain(policy: Path, as_json: bool) -> None:
    """Say in words what POLICY asks of a file."""
    read = read_policy(policy)
    if as_json:
        body = {"policy_digest": policy_digest(read), "rules": list(rule_names(read))}
        print(json.dumps({**body, "words": words(read)}, indent=2, ensure_ascii=False))
        return
    print(*map(printable, words(read)), sep="\n")
    print(f"Policy {policy_digest(read)}")


@gate.command()
@policy_option
@click.option("--scores", type=_FILE, required=True, help="Of the file that would ship.")
@click.option("--file", "model", type=_FILE, help="The file itself: the scores must be of it.")
@click.option("--tuned", type=_FILE, help="Scores of the model before quantizing.")
@click.option("--champion", type=_FILE, help="Scores of the live file; else --paired's.")
@click.option("--paired", type=_FILE, help="Paired tests of the file against the champion.")
@click.option("--parity", type=_FILE, help="Parity of the file and the tuned model.")
@click.option("--more", type=_FILE, multiple=True, help="More scores of the file: safety, …")
@click.option("--dataset", type=click.Path(path_type=Path, file_okay=False), help="Its data set.")
@click.option("--name", default="", help="The model's name, for waivers.")
@json_option
@debug_option
def check(
    policy: Path,
    scores: Path,
    model: Path | None,
    tuned: Path | None,
    champion: Path | None,
    paired: Path | None,
    parity: Path | None,
    more: tuple[Path, ...],
    dataset: Path | None,
    name: str,
    as_json: bool,
) -> None:
    """Judge scores by a policy, without a pipeline.

    Exit code 3 if they are refused. It gives no blessing: only the gate of a run signs one. What is
    not handed over fails the rules that need it; without --parity the conversion is not judged.
    """
    from wherry.gate.run import newest_row

    quantized = Scores.read(scores)
    tests = PairedTests.read(paired) if paired else None
    asked_anew = tests.champion_scores if tests else None
    evidence = Evidence(
        quantized,
        Scores.read(tuned) if tuned else None,
        Scores.read(champion) if champion else asked_anew,
        tests,
        tuple(map(Scores.read, more)),
        newest_row(dataset, quantized) if dataset else None,
        datetime.now(UTC),
    )
    checks = _judged(read_policy(policy), evidence, Parity.read(parity) if parity else None, name)
    file = (of_file(quantized, digest_file(model)),) if model else ()
    _show((*checks, *file), as_json)


def _judged(
    policy: Policy, evidence: Evidence, parity: Parity | None, name: str
) -> tuple[Check, ...]:
    from wherry.gate.run import granted

    file = evidence.quantized
    given = granted(policy.waivers)
    waivers = Waivers(given, name, file.model_digest, policy_digest(policy), evidence.now)
    agreed = (parity_check(file, parity),) if parity else ()
    return (*judge(evidence, policy, waivers), *agreed, *same_ground(evidence, policy))


def _show(checks: tuple[Check, ...], as_json: bool) -> None:
    refused = sum(not each.holds for each in checks)
    if as_json:
        body = {"passed": not refused, "checks": [asdict(each) for each in checks]}
        print(json.dumps(body, indent=2, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        console.print(_table(checks))
        told = f"Refused: {refused} of {len(checks)} checks fail." if refused else "All hold."
        console.print(Text(told, "bold red" if refused else "bold green"))
    if refused:
        raise SystemExit(EXIT_REFUSED)


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for each in sorted(checks, key=lambda each: each.holds):
        mark = Text("✓", "green") if each.passed else Text("✗", "bold red")
        told = Text(printable(each.reason))
        if each.excused:
            mark = Text("~", "yellow")
            told.append(f"\n{printable(each.excused)}", "dim")
        table.add_row(mark, told)
    return table


@gate.command()
@click.argument("rule")
@policy_option
@click.option("--name", required=True, help="The model that it is for.")
@click.option("--why", required=True, help="Why the rule need not hold for now.")
@click.option("--until", required=True, help="When that ends: 2026-12-31, or with a time.")
@click.option("--slice", "part", default="", help="Only this slice of the rule.")
@click.option("--model", "digest", default="", help="Only the file with this digest: sha256:…")
@click.option("--key", default="", help="Sign with this key.  [default: the one that signs here]")
@click.option("--out", type=_FILE, default=Path("waiver.json"), show_default=True)
@json_option
@debug_option
def waive(
    rule: str,
    policy: Path,
    name: str,
    why: str,
    until: str,
    part: str,
    digest: str,
    key: str,
    out: Path,
    as_json: bool,
) -> None:
    """Sign that RULE need not hold for a while.

    RULE is one such as floors.f1/cancer. Take the file into the policy's list of waivers:
    `waivers: [!include waiver.json]`.
    """
    from wherry.signing import WAIVER, load_signer, stamp

    read, signer = read_policy(policy), load_signer(key=key)
    _check_may_waive(signer.key.owner)
    check_label("name", name)  # no model could bear another
    waiver = Waiver(
        rule=_known(rule, read),
        name=name,
        policy_digest=policy_digest(read),
        who=signer.key.owner,
        why=_said(why),
        granted=_rfc3339(datetime.now(UTC)),
        until=_rfc3339(_end(until)),
        model_digest=digest or None,
        slice=part,
    )
    _check_replaces(out, waiver)
    # Through its text: a digest that is none is refused here, not by the gate.
    signed = stamp(Waiver.from_json(waiver.to_json()), WAIVER, signer)
    signed.write(out)
    if as_json:
        print(signed.to_json())
        return
    print(printable(f"{out}: {rule} of {name} is waived by {waiver.who} until {waiver.until}"))


def _check_may_waive(who: str) -> None:
    roles = read_roles(state())
    if not roles.allows("waive", who):
        raise RoleError(
            f"{who!r} may not waive: the roles policy names {', '.join(roles.waive) or 'nobody'}.",
            remedy="Ask one of them, or have the policy changed.",
        )


def _check_replaces(out: Path, waiver: Waiver) -> None:
    """Refuses to write over anything but an earlier waiver of the same: policies include it."""
    if not out.exists():
        return
    old = Waiver.read(out)
    if _subject(old) != _subject(waiver):
        raise SettingsError(
            f"{out} holds the waiver of {old.rule} of {old.name or old.model_digest} already.",
            remedy="Name another file: --out, and take it into the policy's waivers too.",
        )


def _subject(waiver: Waiver) -> tuple[str, str, str, Digest | None]:
    return waiver.rule, waiver.slice, waiver.name, waiver.model_digest


@gate.command()
@click.argument("blessing", type=_FILE)
@json_option
@debug_option
def verify(blessing: Path, as_json: bool) -> None:
    """Verify who signed BLESSING, and that it says what was signed."""
    from wherry.signing import BLESSING, check_stamp, load_keyring

    found = Blessing.read(blessing)
    key = check_stamp(found, BLESSING, load_keyring())
    if as_json:
        print(json.dumps({"signed_by": asdict(key), "passed": found.passed}, indent=2))
        return
    word = "blessed" if found.passed else "refused"
    print(printable(f"{found.model_digest} {word}, signed by {key.owner} (key {key.short})"))


@gate.command()
def schema() -> None:
    """Print the JSON schema of a policy file, for editors."""
    from wherry.gate.schema import SCHEMA_FILE

    print(SCHEMA_FILE.read_text(encoding="utf-8"), end="")


def read_policy(path: Path) -> Policy:
    """Reads a policy's own file, or the section `gate` of a run's settings.

    Raises:
        MissingError, SettingsError: if there is none, or it cannot be meant.
    """
    raw: dict[str, Any] = load_file(path)
    inner = raw.get("gate")
    return read_settings(Policy, inner if isinstance(inner, dict) else raw, where=str(path))


def _known(rule: str, policy: Policy) -> str:
    names = list(rule_names(policy))
    if rule not in names:
        raise SettingsError(
            f"The policy has no rule {rule!r}, expected one of {', '.join(names)}.",
            remedy="Name a rule as `wherry gate explain --json` lists it.",
        )
    return rule


def _said(why: str) -> str:
    if not why.strip():
        raise SettingsError("No reason was given for the waiver.", remedy="Say why: --why …")
    return why.strip()


_LAST_YEAR = 9999
"""Its last hours have no UTC in some zones."""


def _end(until: str) -> datetime:
    try:
        read = datetime.fromisoformat(until)
    except ValueError:
        raise SettingsError(
            f"--until {until!r} is no time, expected one such as 2026-12-31.",
            remedy="Write a date, or a time of RFC 3339.",
        ) from None
    end = read if read.tzinfo else read.replace(tzinfo=UTC)
    if end.year >= _LAST_YEAR:
        raise SettingsError(
            f"--until {until} is later than any waiver lasts.", remedy="Name a nearer time."
        )
    if end <= datetime.now(UTC):
        raise SettingsError(f"--until {until} is over already.", remedy="Name a later time.")
    return end


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
