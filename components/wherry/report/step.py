"""Turns the records of a run into the page that shows them."""

from dataclasses import dataclass

from wherry.page.view import Signpost
from wherry.report.evidence import Evidence
from wherry.report.sections.data import DataSection, data_section
from wherry.report.sections.gate import GateSection, gate_section
from wherry.report.sections.ladder import LadderSection, ladder_section
from wherry.report.sections.lineage import LineageSection, lineage_section
from wherry.report.sections.parity import ParitySection, parity_section
from wherry.report.sections.scores import ScoresSection, scores_section
from wherry.report.sections.serving import ServingSection, serving_section
from wherry.report.sections.speed import SpeedSection, speed_section
from wherry.report.sections.tests import TestsSection, tests_section
from wherry.report.sections.training import TrainingSection, training_section
from wherry.report.sections.verdict import Banner, banner
from wherry.report.settings import ReportSettings


@dataclass(frozen=True)
class Page:
    """All that the templates show, in words and places; they decide nothing."""

    banner: Banner
    data: DataSection
    training: TrainingSection
    scores: ScoresSection
    tests: TestsSection | None
    """None unless there is a champion to compare with."""
    gate: GateSection
    speed: SpeedSection
    parity: ParitySection
    ladder: LadderSection | None
    """None unless several file types were tried."""
    serving: ServingSection
    lineage: LineageSection

    @property
    def signposts(self) -> tuple[Signpost, ...]:
        """The sections in the order of the page."""
        sections = (
            self.data,
            self.training,
            self.scores,
            *((self.tests,) if self.tests else ()),
            self.gate,
            self.speed,
            self.parity,
            *((self.ladder,) if self.ladder else ()),
            self.serving,
            self.lineage,
        )
        return tuple(section.signpost for section in sections)


def compose(evidence: Evidence, settings: ReportSettings, *, name: str = "") -> Page:
    """Gives the page of a run, released or refused.

    Args:
        evidence: the run's records.
        settings: what may be quoted, how much is listed.
        name: the model's name where no release brings one.
    """
    return Page(
        banner=banner(evidence, name),
        data=data_section(evidence, settings.quarantine_lines),
        training=training_section(evidence.curve, settings.curve_points),
        scores=scores_section(evidence),
        tests=_tests(evidence),
        gate=gate_section(evidence.blessing, evidence.quantized),
        speed=speed_section(evidence),
        parity=parity_section(evidence),
        ladder=_ladder(evidence),
        serving=serving_section(evidence),
        lineage=lineage_section(evidence),
    )


def _ladder(evidence: Evidence) -> LadderSection | None:
    several = evidence.ladder is not None and len(evidence.ladder.rungs) > 1
    return ladder_section(evidence.ladder) if evidence.ladder and several else None


def _tests(evidence: Evidence) -> TestsSection | None:
    paired = evidence.paired
    if paired is None or paired.champion_digest in (None, paired.challenger_digest):
        return None
    return tests_section(paired, "Against the champion")
