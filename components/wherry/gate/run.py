"""Wires the gate: scores, parity and a policy in, a signed blessing out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from wherry.contracts import (
    Blessing,
    Dataset,
    Manifest,
    PairedTests,
    Scores,
    Waiver,
    read_rows,
    read_settings,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.errors import (
    DigestError,
    FormatError,
    GateRefusedError,
    SignatureError,
    SigningKeyError,
)
from wherry.contracts.parity import Parity
from wherry.gate.settings import Policy
from wherry.gate.step import decide
from wherry.gate.waivers import Granted, moment
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger.roles import Roles, read_roles
from wherry.ledger.stages import recorded
from wherry.progress import stage
from wherry.signing import BLESSING, WAIVER, Keyring, check_stamp, load_keyring, load_signer, stamp
from wherry.workspace import state

_TRAIN: Final = "train"


@recorded("gate", inputs=("scores_tuned", "scores_quantized", "parity"), outputs=("blessing",))
def run(
    scores_tuned: Path,
    scores_quantized: Path,
    parity: Path,
    blessing: Path,
    name: str,
    settings: str = "",
    scores_safety: Path | None = None,
    scores_benchmarks: Path | None = None,
    paired: Path | None = None,
    dataset: Path | None = None,
) -> bool:
    """Judges the quantized file by its scores, and says whether it may be released.

    Args:
        scores_tuned: the `Scores` of the model before quantizing.
        scores_quantized: the `Scores` of the file that would ship.
        parity: the `Parity` between the two.
        blessing: where to write the `Blessing`, passed or refused, signed.
        name: the model's name; its champion in the ledger is the one to compare with.
        settings: a `Policy` as JSON; it has no default, for someone must say what is asked.
        scores_safety: the `Scores` of the same file on prompts about safety.
        scores_benchmarks: the `Scores` of the same file on benchmarks.
        paired: the `PairedTests` of the file against the champion.
        dataset: the data set's folder, for how old its rows are.
    """
    with stage("gate") as report:
        policy = read_settings(Policy, settings, where="the gate's policy (gate.yaml)")
        signer = load_signer()  # first: without a key nothing is judged
        quantized, now = Scores.read(scores_quantized), datetime.now(UTC)
        tests = PairedTests.read(paired) if paired else None
        verdict = decide(
            Scores.read(scores_tuned),
            quantized,
            Parity.read(parity),
            _champion_scores(name, tests),
            policy,
            paired=tests,
            more=[Scores.read(each) for each in (scores_safety, scores_benchmarks) if each],
            newest_row=newest_row(dataset, quantized) if dataset else None,
            granted=granted(policy.waivers),
            name=name,
            now=now,
        )
        until = now + timedelta(days=policy.approval_days)
        verdict = replace(
            verdict,
            judged=_written(now),
            approve_until=_written(until) if verdict.required_approvals else "",
        )
        stamp(verdict, BLESSING, signer).write(blessing)
        report.verdict(_summary(verdict))
    return verdict.passed


def refuse(blessing: Path) -> None:
    """Ends the run red if the gate refused: one step that fails on every platform.

    Args:
        blessing: the `Blessing`.

    Raises:
        GateRefusedError: with the gate's reasons.
    """
    with stage("refuse") as report:
        verdict = Blessing.read(blessing)
        if not verdict.passed:
            raise GateRefusedError(
                f"The gate refused {verdict.model_digest}: {'; '.join(verdict.reasons)}.",
                remedy="Nothing was released. Improve data or recipe, or correct the policy.",
            )
        report.verdict("nothing to refuse")


def granted(waivers: tuple[Waiver, ...]) -> list[Granted]:
    """Looks at the signatures of waivers; each must be of the person whom it names.

    Raises:
        SigningKeyError: if there are waivers, but no keyring to look with.
    """
    keyring = load_keyring() if waivers else Keyring()
    roles = read_roles(state())
    return [Granted(waiver, _fault(waiver, keyring, roles)) for waiver in waivers]


def newest_row(dataset: Path, scored: Scores) -> datetime | None:
    """Gives when the newest training row was written; None if no row tells, or one is odd.

    Raises:
        DigestError: if the scores are not of this data set, or one of its files was changed.
    """
    Manifest.verified(dataset)
    data = Dataset.read(dataset / DATASET_NAME)
    if data.split(scored.split).digest != scored.data_digest:
        raise DigestError(
            f"the data set has the {scored.split} split {data.split(scored.split).digest}, "
            f"the file was scored on {scored.data_digest}.",
            remedy="Hand on the outputs of one run.",
        )
    newest: datetime | None = None
    for row in read_rows(dataset / data.split(_TRAIN).file):
        read = moment(row.time) if row.time else None
        if read is None:
            return None  # nobody knows how old the whole is
        newest = read if newest is None else max(newest, read)
    return newest


def _fault(waiver: Waiver, keyring: Keyring, roles: Roles) -> str:
    try:
        signed_by = check_stamp(waiver, WAIVER, keyring)
    except (FormatError, SignatureError, SigningKeyError) as error:
        return f"{error.code}, {error.message}"
    if signed_by.owner != waiver.who:
        return f"it is signed by {signed_by.owner}"
    if not roles.allows("waive", waiver.who):
        return f"the roles policy does not let {waiver.who} waive"
    return ""


def _champion_scores(name: str, tests: PairedTests | None) -> Scores | None:
    """Gives the live version's scores: those on this data, if it was asked anew."""
    if not Ledger.exists(state()):
        return None
    with Ledger.open(state()) as ledger:
        live = ledger.release_at_alias(name, CHAMPION)
        if live is None:
            return None
        anew = tests.champion_scores if tests else None
        # Another version may have gone live since: then what was kept of that one stands.
        if anew and anew.model_digest == live.digest:
            return anew
        return ledger.scores_of(name, live.version)


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _summary(verdict: Blessing) -> str:
    if not verdict.passed:
        return f"refused: {'; '.join(verdict.reasons)}"
    passed, total = sum(check.passed for check in verdict.checks), len(verdict.checks)
    waived = f", {len(verdict.waivers)} waived" if verdict.waivers else ""
    return f"blessed, {passed} of {total} checks passed{waived}"
