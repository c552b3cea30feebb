"""Wires the gate: scores, parity and a policy in, a blessing out."""

from pathlib import Path

from wherry.contracts import Blessing, Scores, read_settings
from wherry.contracts.errors import GateRefusedError
from wherry.contracts.parity import Parity
from wherry.gate.settings import Policy
from wherry.gate.step import decide
from wherry.ledger import CHAMPION, Ledger
from wherry.ledger.stages import recorded
from wherry.progress import stage
from wherry.workspace import state


@recorded("gate", inputs=("scores_tuned", "scores_quantized", "parity"), outputs=("blessing",))
def run(
    scores_tuned: Path,
    scores_quantized: Path,
    parity: Path,
    blessing: Path,
    name: str,
    settings: str = "",
) -> bool:
    """Judges the quantized file by its scores, and says whether it may be released.

    Args:
        scores_tuned: the `Scores` of the model before quantizing.
        scores_quantized: the `Scores` of the file that would ship.
        parity: the `Parity` between the two.
        blessing: where to write the `Blessing`, passed or refused.
        name: the model's name; its champion in the ledger is the one to compare with.
        settings: a `Policy` as JSON; it has no default, for someone must say what is asked.
    """
    with stage("gate") as report:
        policy = read_settings(Policy, settings, where="the gate's policy (gate.yaml)")
        verdict = decide(
            Scores.read(scores_tuned),
            Scores.read(scores_quantized),
            Parity.read(parity),
            _champion_scores(name),
            policy,
        )
        verdict.write(blessing)
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


def _champion_scores(name: str) -> Scores | None:
    if not Ledger.exists(state()):
        return None
    with Ledger.open(state()) as ledger:
        live = ledger.release_at_alias(name, CHAMPION)
        return ledger.scores_of(name, live.version) if live else None


def _summary(verdict: Blessing) -> str:
    if verdict.passed:
        return f"blessed, {len(verdict.checks)} of {len(verdict.checks)} checks passed"
    return f"refused: {'; '.join(verdict.reasons)}"
