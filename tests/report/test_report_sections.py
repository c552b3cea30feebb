import json
import subprocess
from dataclasses import replace

import pytest

from tests.report.records import (
    PROMPT,
    blessing,
    curve,
    dataset,
    deployment,
    evidence,
    parity,
    refusal,
    refused,
    release,
    scores,
    validation,
)
from wherry.contracts.blessing import Check
from wherry.contracts.curve import CurvePoint
from wherry.contracts.dataset import Cleaned, Message
from wherry.contracts.digest import digest_record
from wherry.contracts.scores import Metric, Scores
from wherry.contracts.validation import ReasonCount
from wherry.report.evidence import Evidence
from wherry.report.sections.data import data_section
from wherry.report.sections.gate import gate_section
from wherry.report.sections.lineage import lineage_section
from wherry.report.sections.parity import parity_section
from wherry.report.sections.scores import scores_section
from wherry.report.sections.serving import serving_section
from wherry.report.sections.speed import speed_section
from wherry.report.sections.training import training_section
from wherry.report.sections.verdict import banner

NBSP, MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"


def with_metrics(found: Evidence, *metrics: Metric) -> Evidence:
    """Gives the evidence with other scores of the quantized file, judged as such."""
    quantized = replace(found.quantized, metrics=metrics)
    judged = replace(found.blessing, scores_digest=digest_record(quantized))
    return replace(found, quantized=quantized, blessing=judged)


def without(scores_: Scores, name: str) -> Scores:
    return replace(scores_, metrics=tuple(m for m in scores_.metrics if m.name != name))


def in_bash(call: str) -> list[str]:
    """Gives the arguments that a shell would hand to curl."""
    script = "curl() { printf '%s\\0' \"$@\"; }\n" + call
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


class TestBanner:
    def test_it_says_what_ships_and_how_much_better_it_is(self) -> None:
        shown = banner(evidence(), "")
        assert (shown.name, shown.version) == ("icd10-triage", "version 3")
        assert "71.4% of 420 held-out rows" in shown.sentence
        assert f"+71.2{NBSP}points over the base model" in shown.sentence
        assert f"{MINUS}0.5{NBSP}points by quantizing" in shown.sentence

    def test_it_goes_from_base_to_shipped_file(self) -> None:
        free, fair = banner(evidence(), "").journeys
        assert [stop.value for stop in free.stops] == ["0.2%", "71.9%", "71.4%"]
        assert [stop.name for stop in fair.stops] == ["Base model", "Tuned model", "Shipped file"]

    @pytest.mark.parametrize(
        ("found", "state", "word"),
        [
            (evidence(), "good", "Blessed, released and serving"),
            (replace(evidence(), deployment=None), "good", "Blessed and released"),
            (
                replace(evidence(), deployment=replace(deployment(), healthy=False)),
                "warn",
                "Blessed and released, not serving",
            ),
            (replace(evidence(), release=None, deployment=None), "warn", "Blessed, not released"),
            (refused(), "bad", "Refused: nothing was released"),
        ],
    )
    def test_the_verdict_is_of_what_happened(self, found: Evidence, state: str, word: str) -> None:
        assert (banner(found, "").badge.state, banner(found, "").badge.word) == (state, word)

    def test_a_refusal_gives_every_reason_and_calls_nothing_shipped(self) -> None:
        shown = banner(refused(), "icd10-triage")
        assert shown.reasons == refusal().reasons
        assert len(shown.reasons) == 3
        assert (shown.name, shown.version) == ("icd10-triage", "not released")
        assert [stop.name for stop in shown.journeys[0].stops][-1] == "Quantized file"
        assert "ships" not in shown.sentence

    def test_an_accuracy_that_was_not_measured_is_said_to_be_so(self) -> None:
        found = with_metrics(evidence(), Metric("accuracy", None, 0))
        shown = banner(found, "")
        assert shown.sentence == "The file that ships has no measured accuracy."
        assert shown.journeys[0].stops[-1].interval == "not measured"
        assert shown.journeys[0].stops[-1].change == ""


class TestData:
    @pytest.mark.parametrize(
        ("severity", "state"), [("critical", "bad"), ("warning", "warn"), ("info", "warn")]
    )
    def test_severity_decides_how_grave_a_failure_is(self, severity: str, state: str) -> None:
        failed = replace(validation().expectations[0], passed=False, severity=severity)
        report = replace(validation(), expectations=(failed,), passed=severity != "critical")
        section = data_section(replace(evidence(), validation=report), 20)
        assert section.signpost.state == state

    def test_it_has_checks_plots_and_faulty_rows(self) -> None:
        section = data_section(evidence(), 2)
        assert section.checks.asked[0].result.word == "Warned"
        assert [plot.frame.title for plot in section.spread.balances] == ["Rows by label"]
        assert (len(section.faults.listed), section.faults.unlisted) == (2, 1)

    def test_without_cleaning_nothing_is_said_of_it(self) -> None:
        section = data_section(evidence(), 20)
        assert (section.cleaned, section.set_aside) == ((), ())

    def test_cleaning_steps_and_unread_rows_are_told(self) -> None:
        cleaned = (Cleaned("drop_near_duplicates", 2600, dropped=80),)
        section = data_section(
            replace(
                evidence(),
                dataset=replace(dataset(), cleaned=cleaned, set_aside=7),
                validation=replace(validation(), set_aside=(ReasonCount("no UTF-8", 7),)),
            ),
            20,
        )
        assert [(step.name, step.did) for step in section.cleaned] == [
            ("Drop near duplicates", "80 of 2,600 rows dropped (3.1%)")
        ]
        assert [(cause.reason, cause.count) for cause in section.set_aside] == [("no UTF-8", 7)]
        assert ("Rows set aside", "7") in [(fact.name, fact.value) for fact in section.facts]


def of_plain_text(found: Evidence, **values: tuple[float, float, float]) -> Evidence:
    """Gives the evidence of models that were scored on how probable text is to them alone."""
    before, tuned, after = (
        replace(
            one,
            metrics=tuple(
                Metric(name, each[at], 420, each[at] - 0.5, each[at] + 0.5, unit=unit)
                for name, each in values.items()
                for unit in ("per token" if name == "perplexity" else "per byte",)
            ),
        )
        for at, one in enumerate((found.base, found.tuned, found.quantized))
    )
    judged = replace(found.blessing, scores_digest=digest_record(after))
    return replace(found, base=before, tuned=tuned, quantized=after, blessing=judged)


class TestPlainText:
    found = of_plain_text(
        evidence(), perplexity=(21.25, 12.5, 12.75), byte_perplexity=(2.5, 2.0, 2.0)
    )

    def test_the_banner_sums_it_up_by_perplexity(self) -> None:
        shown = banner(self.found, "")
        assert shown.sentence == (
            "Perplexity of the file that ships is 12.8 per token on 420 held-out rows: "
            f"{MINUS}8.50 against the base model, +0.250 by quantizing."
        )
        first, second = shown.journeys
        assert first.name == "Perplexity, per token"
        assert [stop.value for stop in first.stops] == ["21.2", "12.5", "12.8"]
        assert [stop.at for stop in first.stops] == [None, None, None]  # no share has its place
        assert second.name == "Byte perplexity, per byte"
        assert second.stops[2].change == "±0"

    def test_perplexity_is_a_score_and_no_cost(self) -> None:
        section = scores_section(self.found)
        assert [plot.frame.title for plot in section.headlines] == ["Perplexity", "Byte perplexity"]
        assert section.figures[0].figures[2].value == "12.8 per token"
        places = [mark.at for row in section.headlines[0].rows for mark in row.marks]
        assert places[0] > places[2] > places[1]
        assert section.n == 420
        assert speed_section(self.found).tiles == ()


class TestTraining:
    def test_it_tells_loss_before_and_after_and_speed(self) -> None:
        section = training_section(curve(), 300)
        assert section.signpost.text == "loss 4.31 → 0.74 in 2 min 31 s"
        facts = {fact.name: fact.value for fact in section.facts}
        assert facts["Speed"] == "438 tokens/s"
        assert facts["Steps"] == "237"

    def test_long_runs_are_thinned(self) -> None:
        points = tuple(CurvePoint(n, n, n, 1.0) for n in range(1, 20_001))
        section = training_section(replace(curve(), points=points), 100)
        assert section.plot is not None
        assert all(path.data.count("L") < 100 for path in section.plot.paths)

    def test_without_an_eval_loss_the_training_loss_is_told(self) -> None:
        points = (CurvePoint(1, 10, 1.0, 3.0), CurvePoint(2, 20, 2.0, 1.0))
        section = training_section(replace(curve(), points=points), 300)
        assert section.signpost.text.startswith("loss 3.00 → 1.00")
        assert [key.series for key in section.keys] == ["train-mean"]

    @pytest.mark.parametrize("points", [(), (CurvePoint(0, 0, 0.0, None, None),)])
    def test_a_run_without_any_loss_has_no_plot(self, points: tuple[CurvePoint, ...]) -> None:
        section = training_section(replace(curve(), points=points), 300)
        assert section.plot is None
        assert "—" in section.signpost.text


class TestScores:
    def test_each_share_is_plotted_for_all_three_models(self) -> None:
        section = scores_section(evidence())
        assert [plot.frame.title for plot in section.headlines] == [
            "Accuracy, free answer",
            "Accuracy, likeliest label",
            "Macro-F1",
            "Exact match",
        ]
        labels = [row.label for row in section.headlines[0].rows]
        assert labels == ["Base model", "Tuned model", "Shipped file"]

    def test_classes_are_sorted_by_the_quantized_score(self) -> None:
        plot = scores_section(evidence()).by_class
        assert plot is not None
        shown = [float(row.value.rstrip("%")) for row in plot.rows]
        assert shown == sorted(shown, reverse=True)
        assert len(shown) == 21

    def test_only_the_shipped_file_keeps_its_whiskers_by_class(self) -> None:
        plot = scores_section(evidence()).by_class
        assert plot is not None
        for row in plot.rows:
            assert {mark.series for mark in row.marks if mark.start is not None} == {"quantized"}

    def test_costs_are_no_scores(self) -> None:
        names = {row.name for row in scores_section(evidence()).figures}
        assert "File size" not in names

    def test_a_metric_that_one_model_lacks_is_a_dash_there(self) -> None:
        found = replace(evidence(), base=without(scores("base"), "macro_f1"))
        row = next(r for r in scores_section(found).figures if r.name == "Macro-F1")
        assert [figure.value for figure in row.figures] == ["—", "70.6%", "69.6%"]

    def test_of_very_many_classes_the_lowest_are_drawn_and_all_listed(self) -> None:
        many = [Metric("f1", n / 1000, 9, slice=f"group=K{n}") for n in range(300)]
        section = scores_section(with_metrics(evidence(), *many))
        assert section.by_class is not None
        assert section.by_class.frame.title == "F1 by group"
        assert "The lowest 60 of 321 groups" in section.by_class.frame.description
        assert len(section.by_class.rows) == 60
        assert len(section.slices[0].rows) == 321

    def test_free_text_has_no_classes(self) -> None:
        found = replace(evidence(), base=scores("base"), tuned=scores("tuned"))
        plain = tuple(m for m in found.quantized.metrics if not m.slice)
        bare = with_metrics(found, *plain)
        bare = replace(
            bare,
            base=replace(bare.base, metrics=bare.base.metrics[:1]),
            tuned=replace(bare.tuned, metrics=bare.tuned.metrics[:1]),
        )
        assert scores_section(bare).by_class is None


class TestGate:
    def test_what_failed_stands_first(self) -> None:
        judged = gate_section(refusal(), scores("quantized")).judged
        assert [row.result.word for row in judged] == ["Fails"] * 3 + ["Holds"] * 4

    def test_limits_say_their_direction(self) -> None:
        judged = gate_section(blessing(), scores("quantized")).judged
        assert [row.threshold for row in judged[3:9]] == [
            "≤ 200 MB",
            "≤ 600 MB",
            "≤ 800 ms",
            "≥ 20 tokens/s",
            f"≤ 2.0{NBSP}points",
            "≥ 68.8%",
        ]

    def test_a_difference_of_shares_is_told_in_points(self) -> None:
        proved = Check(
            "champion", "accuracy", "", -0.02, -0.013, True, "", name="champion.accuracy"
        )
        section = gate_section(replace(blessing(), checks=(proved,)), scores("quantized"))
        (row,) = section.judged
        assert (row.threshold, row.observed) == (
            f"≥ {MINUS}2.0{NBSP}points",
            f"{MINUS}1.3{NBSP}points",
        )

    @pytest.mark.parametrize("passed", [True, False])
    @pytest.mark.parametrize("observed", [0.1, 0.9])
    def test_the_drawn_verdict_agrees_with_the_real_one(
        self, passed: bool, observed: float
    ) -> None:
        check = Check("champion", "first_token", "", 0.5, observed, passed, "")
        one = replace(blessing(), checks=(check,), passed=passed)
        drawn = gate_section(one, scores("quantized")).judged[0].bullet
        assert drawn is not None
        assert drawn.at is not None
        assert (drawn.start <= drawn.at <= drawn.start + drawn.length) == passed

    def test_a_metric_that_was_not_measured_fails_and_says_so(self) -> None:
        row = gate_section(refusal(), scores("quantized")).judged[2]
        assert (row.observed, row.result.word) == ("not measured", "Fails")
        assert row.bullet is not None
        assert row.bullet.at is None

    def test_a_rule_that_holds_or_not_has_no_bullet(self) -> None:
        row = gate_section(blessing(), scores("quantized")).judged[-1]
        assert (row.observed, row.bullet) == ("yes", None)
        assert "same chat template" in row.note

    def test_what_is_excused_is_told_apart_from_what_holds(self) -> None:
        waived = Check(
            "floor", "accuracy", "", 0.9, 0.7, False, "it is 70%", excused="waived by ann"
        )
        one = replace(blessing(), checks=(waived, *blessing().checks))
        section = gate_section(one, scores("quantized"))
        assert (section.judged[0].result.word, section.judged[0].note) == (
            "Excused",
            "waived by ann",
        )
        assert f"{len(one.checks)} of {len(one.checks)} rules hold" in section.signpost.text

    def test_alternatives_hold_or_not(self) -> None:
        check = Check("any_of", "holding", "", 1.0, 0.0, False, "none of them holds")
        row = gate_section(replace(blessing(), checks=(check,)), scores("quantized")).judged[0]
        assert (row.rule, row.observed, row.bullet) == ("One of several", "no", None)

    def test_the_judged_end_of_an_interval_is_named(self) -> None:
        low = scores("quantized").metrics[0].low
        check = Check("floor", "accuracy", "", 0.6, low, True, "")
        row = gate_section(replace(blessing(), checks=(check,)), scores("quantized")).judged[0]
        assert row.note == "the 95% interval's lower end"


class TestSpeed:
    def test_every_cost_has_a_tile_and_bars_where_there_is_something_beside_it(self) -> None:
        tiles = {tile.name: tile for tile in speed_section(evidence()).tiles}
        assert tiles["File size"].value == "145 MB"
        assert tiles["Decoding speed"].interval == "63.1 to 70.2 tokens/s"
        assert tiles["Peak memory"].plot is None
        plot = tiles["File size"].plot
        assert plot is not None
        assert [row.label for row in plot.rows] == ["Base", "Shipped"]

    def test_nothing_measured_is_no_tile(self) -> None:
        found = with_metrics(evidence(), Metric("accuracy", 0.5, 10))
        found = replace(found, base=without(found.base, "size"))
        section = speed_section(found)
        assert section.tiles == ()
        assert section.signpost.text == "not measured"

    def test_a_cost_that_only_the_base_has_is_a_dash(self) -> None:
        found = with_metrics(evidence(), Metric("accuracy", 0.5, 10))
        assert [tile.value for tile in speed_section(found).tiles] == ["—"]


class TestParity:
    def test_every_change_of_form_has_its_row(self) -> None:
        section = parity_section(evidence())
        assert [step.name for step in section.steps] == [
            "Merging the adapter",
            "Converting to GGUF",
            "Quantizing",
        ]
        assert section.steps[1].kl == "4.9\N{MULTIPLICATION SIGN}10⁻⁶"
        assert section.signpost.text == "98.4% of next tokens agree"

    def test_another_template_is_shown_as_a_failure(self) -> None:
        found = evidence()
        other = replace(found.base, template_digest=found.base.model_digest)
        assert parity_section(replace(found, base=other)).template_result.state == "bad"

    def test_a_divergence_that_is_no_number_is_a_dash(self) -> None:
        last = replace(parity().comparisons[2], kl=None, passed=False)
        bad = replace(parity(), comparisons=(last,), passed=False, reasons=("no finite KL",))
        section = parity_section(replace(evidence(), parity=bad))
        assert (section.steps[0].kl, section.steps[0].result.state) == ("—", "bad")
        assert section.signpost.state == "bad"


class TestServing:
    def test_the_call_is_a_command_that_a_shell_reads_back(self) -> None:
        words = in_bash(serving_section(evidence()).call)
        assert words[0] == "http://127.0.0.1:8080/openai/v1/chat/completions"
        body = json.loads(words[words.index("-d") + 1])
        assert body["model"] == "icd10-triage"
        assert [turn["content"] for turn in body["messages"]] == [m.content for m in PROMPT]

    @pytest.mark.parametrize("text", ["$(reboot)", 'it\'s "quoted"\n`ls`', "; rm -rf ~ #", "é😀"])
    def test_no_question_escapes_into_the_shell(self, text: str) -> None:
        found = replace(evidence(), example=(Message("user", text),))
        words = in_bash(serving_section(found).call)
        assert len(words) == 5
        assert json.loads(words[4])["messages"][0]["content"] == text

    def test_without_a_row_to_quote_it_says_where_the_question_goes(self) -> None:
        assert "Your question" in serving_section(replace(evidence(), example=())).call

    def test_a_refused_run_says_that_nothing_changed(self) -> None:
        section = serving_section(refused())
        assert "what ran before goes on running" in section.absence
        assert (section.call, section.checks) == ("", ())

    def test_an_unhealthy_server_is_shown_as_such(self) -> None:
        found = replace(evidence(), deployment=replace(deployment(), healthy=False))
        assert serving_section(found).result.state == "bad"


class TestLineage:
    def test_every_digest_of_the_release_is_in_the_chain(self) -> None:
        shown = {fact.digest for link in lineage_section(evidence()).links for fact in link.facts}
        lineage = release().lineage
        assert {
            lineage.data_digest,
            lineage.base_digest,
            lineage.adapter_digest,
            lineage.template_digest,
            lineage.settings_digest,
            lineage.scores_digest,
            lineage.blessing_digest,
            lineage.policy_digest,
            lineage.code.commit,
            dataset().source.revision,
            release().digest,
        } <= shown

    def test_uncommitted_code_is_told(self) -> None:
        facts = [fact for link in lineage_section(evidence()).links for fact in link.facts]
        commit = next(fact for fact in facts if fact.name == "Code commit")
        assert commit.note == "with changes that were not committed"

    def test_a_version_that_was_registered_before_keeps_its_first_blessing(self) -> None:
        found = evidence()
        lineage = replace(release().lineage, blessing_digest=found.base.model_digest)
        found = replace(found, release=replace(release(), lineage=lineage))
        facts = [fact for link in lineage_section(found).links for fact in link.facts]
        names = {fact.name: fact.digest for fact in facts}
        assert names["Blessing it was registered with"] == lineage.blessing_digest
        assert names["Blessing"] == digest_record(found.blessing)

    def test_a_refused_run_has_a_chain_too(self) -> None:
        section = lineage_section(refused())
        assert [link.title for link in section.links] == [
            "Data",
            "Base model",
            "Adapter",
            "Quantized file",
            "Refusal",
        ]
        assert "The judged file" in section.agreements
