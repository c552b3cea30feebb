"""Conversion parity: how far each form of the model is from the one before."""

from dataclasses import dataclass
from typing import Final

from wherry.contracts.parity import Comparison
from wherry.page.view import Badge, Signpost, State
from wherry.page.words import number, percent, plural
from wherry.report.evidence import Evidence

_STEPS: Final = {
    "merge": "Merging the adapter",
    "conversion": "Converting to GGUF",
    "quantization": "Quantizing",
}


@dataclass(frozen=True)
class Step:
    """One change of form as a table row."""

    name: str
    forms: str
    kl: str
    max_kl: str
    agreement: str
    min_agreement: str
    positions: str
    result: Badge


@dataclass(frozen=True)
class ParitySection:
    """What the template shows of the conversion."""

    signpost: Signpost
    steps: tuple[Step, ...]
    tokens: str
    tokens_result: Badge
    template: str
    template_result: Badge
    reasons: tuple[str, ...]


def parity_section(evidence: Evidence) -> ParitySection:
    """Gives the parity section."""
    parity = evidence.parity
    templates = len({scores.template_digest for _, scores in evidence.models})
    return ParitySection(
        signpost=_signpost(evidence),
        steps=tuple(_step(comparison) for comparison in parity.comparisons),
        tokens=(
            f"{percent(parity.token_agreement)} of {plural(parity.rows, 'row')} become the very "
            f"tokens of training (at least {percent(parity.min_token_agreement)})"
        ),
        tokens_result=_holds(parity.token_agreement >= parity.min_token_agreement),
        template=(
            "one template for all three models"
            if templates == 1
            else f"{templates} templates among the three models"
        ),
        template_result=_holds(templates == 1),
        reasons=parity.reasons,
    )


def _signpost(evidence: Evidence) -> Signpost:
    last = evidence.parity.find("quantization")
    agreed = percent(last.next_token_agreement) if last else "nothing"
    state: State = "good" if evidence.parity.passed else "bad"
    return Signpost("parity", "Conversion", state, f"{agreed} of next tokens agree")


def _step(comparison: Comparison) -> Step:
    return Step(
        name=_STEPS.get(comparison.name, comparison.name),
        forms=f"{comparison.reference} → {comparison.candidate}",
        kl=number(comparison.kl, 2),
        max_kl=number(comparison.max_kl, 2),
        agreement=percent(comparison.next_token_agreement),
        min_agreement=percent(comparison.min_agreement),
        positions=number(comparison.positions),
        result=_holds(comparison.passed),
    )


def _holds(passed: bool) -> Badge:
    return Badge("good", "Holds") if passed else Badge("bad", "Fails")
