"""Two versions side by side: what a person would look for is on the page, and true."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.report.duel import ladder, other_data, rows, versus
from tests.report.records import digest
from wherry.contracts import Digest, Metric, digest_file
from wherry.contracts.errors import DigestError, FormatError
from wherry.page.render import render
from wherry.report.sections.ladder import ladder_section
from wherry.report.versus.evidence import Asked, Said, Side, Versus
from wherry.report.versus.rows import rows_section
from wherry.report.versus.run import run
from wherry.report.versus.step import compose


def page(found: Versus) -> str:
    return render("wherry.report", "versus.html", page=compose(found))


def _answers(side: Side) -> str:
    lines = (
        {"id": row.id, "label": row.wanted, "label_pick": "", **asdict(side.said[row.id])}
        for row in rows()
    )
    return "".join(json.dumps(line) + "\n" for line in lines)


def written(folder: Path, name: str, side: Side, answers: str) -> Digest:
    """Writes a side's answers, and scores that name them; gives their digest."""
    (folder / f"{name}.jsonl").write_text(answers)
    found = digest_file(folder / f"{name}.jsonl")
    replace(side.scores, predictions_digest=found).write(folder / f"{name}.json")
    return found


def made(folder: Path, tests: Path | None = None, ladder: Path | None = None) -> str:
    """Makes the page of the two sides that `written` wrote."""
    sides = (f"{name}.{kind}" for kind in ("json", "jsonl") for name in ("old", "new"))
    html, files = folder / "page.html", [folder / name for name in sides]
    run(html, "icd10-triage", *files, tests=tests, ladder=ladder)
    return html.read_text()


def test_it_says_who_is_better_and_by_how_much() -> None:
    text = page(versus())
    assert "version 3 against version 4" in text
    assert "+5.0\N{NO-BREAK SPACE}points" in text
    for part in ("Better", "Worse", "Undecided", "Holm", "Q4_K_M ships; 3 of 4 hold"):
        assert part in text


def test_rows_are_counted_by_who_was_right() -> None:
    asked = [Asked(name, "q", "yes") for name in "abcd"]
    yes, no = Said("yes", True), Said("no", False)
    found = versus()
    champion = Side("v1", found.champion.scores, dict(zip("abcd", (yes, yes, no, no), strict=True)))
    said = dict(zip("abcd", (yes, no, yes, no), strict=True))
    challenger = Side("v2", found.challenger.scores, said)
    section = rows_section(replace(found, champion=champion, challenger=challenger, rows=asked), 9)
    assert [pair.id for pair in section.broken] == ["b"]
    assert [pair.id for pair in section.mended] == ["c"]
    assert section.both_wrong == 1
    assert section.broken[0].champion == "yes"
    assert section.broken[0].challenger == "no"


def test_of_many_rows_the_first_are_listed_and_all_counted() -> None:
    found = versus()
    wrong = {row.id: Said("nonsense", False) for row in rows()}
    right = {row.id: Said(row.wanted, True) for row in rows()}
    section = rows_section(
        replace(
            found,
            champion=replace(found.champion, said=right),
            challenger=replace(found.challenger, said=wrong),
        ),
        25,
    )
    assert (len(section.broken), section.broken_count) == (25, 60)


def test_the_errors_that_a_model_was_surest_of_stand_first() -> None:
    found = versus()
    asked = [Asked(name, "q", "yes") for name in "abc"]
    right = {name: Said("yes", True) for name in "abc"}
    wrong = {
        name: Said("no", False, sure) for name, sure in zip("abc", (0.0, 0.4, 0.93), strict=True)
    }
    lost = replace(
        found,
        champion=replace(found.champion, said=right),
        challenger=replace(found.challenger, said=wrong),
        paired=None,
        rows=asked,
    )
    section = rows_section(lost, 2)
    assert [pair.id for pair in section.broken] == ["c", "b"]
    assert section.broken[0].note == "93% sure of a wrong label"
    won = rows_section(replace(lost, champion=lost.challenger, challenger=lost.champion), 9)
    assert [pair.id for pair in won.mended] == ["c", "b", "a"]
    assert won.mended[-1].note == ""
    assert "93% sure of a wrong label" in page(lost)


def test_models_of_free_text_are_compared_by_what_was_measured() -> None:
    found = versus()
    one, two = (
        replace(
            side,
            scores=replace(
                side.scores, metrics=(Metric("perplexity", value, 420, unit="per token"),)
            ),
        )
        for side, value in ((found.champion, 13.0), (found.challenger, 12.5))
    )
    text = page(replace(found, champion=one, challenger=two))
    assert "Perplexity of version 4 is 12.5 per token on 420 held-out rows" in text
    assert "version 3 13 per token: \N{MINUS SIGN}0.500." in text


def test_of_very_many_groups_those_that_moved_most_are_drawn() -> None:
    found = versus()

    def groups(side: Side, of_last: float) -> Side:
        values = [0.5] * 149 + [of_last]
        metrics = (Metric("accuracy", v, 9, slice=f"group=K{n}") for n, v in enumerate(values))
        return replace(side, scores=replace(side.scores, metrics=tuple(metrics)))

    assert found.paired is not None
    test = found.paired.tests[0]
    tests = [replace(test, slice=f"group=K{n}", difference=n / 1000) for n in range(150)]
    many = replace(
        found,
        champion=groups(found.champion, 0.2),
        challenger=groups(found.challenger, 0.9),
        paired=replace(found.paired, tests=tuple(tests)),
    )
    shown = compose(many)
    (plot,) = shown.parts.plots
    assert len(plot.rows) == 60 and plot.rows[-1].full == "group=K149"
    assert "the 60 of 150 that differ most" in plot.frame.title
    (moved,) = shown.tests.plots
    assert [row.full for row in moved.rows] == [f"group=K{n}" for n in range(90, 150)]
    assert len(shown.tests.rows) == 150


def test_other_data_is_said_and_nothing_claimed() -> None:
    text = page(other_data(versus()))
    assert "cannot be compared" in text
    assert "no difference can be tested" in text
    assert "Better" not in text


def test_tests_of_another_model_are_refused() -> None:
    found = versus()
    assert found.paired is not None
    with pytest.raises(DigestError, match="digest of the challenger is"):
        replace(found, paired=replace(found.paired, challenger_digest=digest("third")))


def test_what_a_model_said_is_text_and_no_markup() -> None:
    found = versus()
    wrong = Said("<script>alert(1)</script>\x1b[31m", False)
    said = {row.id: wrong for row in rows()}
    right = {row.id: Said(row.wanted, True) for row in rows()}
    text = page(
        replace(
            found,
            champion=replace(found.champion, said=right),
            challenger=replace(found.challenger, said=said),
        )
    )
    assert "<script>" not in text
    assert "\x1b" not in text


def test_the_ladder_marks_what_ships_and_says_why_others_fail() -> None:
    section = ladder_section(ladder())
    assert [row.result.word for row in section.rows] == ["Holds", "Holds", "Ships", "Fails"]
    assert section.rows[-1].why == "KL 0.5 is above 0.2"
    assert (section.reference.size, section.reference.kl) == ("271 MB", "\N{EM DASH}")
    by_size, by_speed = section.plots
    assert [spot.name for spot in by_size.spots] == ["Q8_0", "Q6_K", "Q4_K_M", "Q4_0"]
    heights = [spot.y for spot in by_size.spots]
    assert heights == sorted(heights)  # down the page: worse and worse
    assert by_speed.spots[-1].x > by_speed.spots[0].x


def test_the_ladder_tells_each_type_s_scores_beside_the_unquantized_model_s() -> None:
    found = ladder()
    rungs = tuple(
        replace(rung, scores=(Metric("label_accuracy", 0.7 - n / 100, 64, 0.5, 0.8),))
        for n, rung in enumerate(found.rungs)
    )
    reference = (Metric("label_accuracy", 0.72, 64, 0.6, 0.82), Metric("exact_match", 0.5, 64))
    section = ladder_section(replace(found, rungs=rungs, reference_scores=reference))
    assert section.scores == ("Accuracy, likeliest label", "Exact match")
    assert [figure.value for figure in section.reference.scores] == ["72.0%", "50.0%"]
    assert [row.scores[0].value for row in section.rows] == ["70.0%", "69.0%", "68.0%", "67.0%"]
    assert section.rows[0].scores[0].interval == "50.0\N{EN DASH}80.0%"
    assert section.rows[0].scores[1].value == "\N{EM DASH}"


def test_speeds_that_nobody_measured_are_not_drawn() -> None:
    found = ladder()
    rungs = tuple(replace(rung, decode_speed=None) for rung in found.rungs)
    section = ladder_section(replace(found, rungs=rungs))
    assert len(section.plots) == 1
    assert section.rows[0].speed == "\N{EM DASH}"


def test_it_is_made_from_files_and_quotes_the_questions(tmp_path: Path) -> None:
    found = versus()
    old, new = (
        written(tmp_path, name, side, _answers(side))
        for name, side in (("old", found.champion), ("new", found.challenger))
    )
    assert found.paired is not None
    replace(found.paired, champion_predictions=old, challenger_predictions=new).write(
        tmp_path / "tests.json"
    )
    ladder().write(tmp_path / "ladder.json")
    text = made(tmp_path, tmp_path / "tests.json", tmp_path / "ladder.json")
    assert "r0" in text
    assert "File types" in text


def test_how_sure_a_model_was_counts_where_its_label_is_a_wrong_one(tmp_path: Path) -> None:
    found = versus()
    right = [{"id": name, "label": "ear", "answer": "ear", "correct": True} for name in "abc"]
    wrong = [{**line, "answer": "eye", "correct": False, "confidence": 0.88} for line in right]
    wrong[1] |= {"label_pick": "ear"}  # the label was right, the free answer was not
    wrong[2] |= {"label_pick": "eye"}
    for name, side, lines in (("old", found.champion, right), ("new", found.challenger, wrong)):
        written(tmp_path, name, side, "".join(json.dumps(line) + "\n" for line in lines))
    text = made(tmp_path)
    assert text.count("88% sure of a wrong label") == 1
    assert [text.index(f'title="{name}"') for name in "cab"] == sorted(
        text.index(f'title="{name}"') for name in "abc"
    )


def test_a_file_that_holds_no_predictions_is_refused(tmp_path: Path) -> None:
    found = versus()
    written(tmp_path, "old", found.champion, _answers(found.champion))
    written(tmp_path, "new", found.challenger, '{"id": 1}\n')
    with pytest.raises(FormatError, match="new.jsonl holds no predictions"):
        made(tmp_path)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("model", ["old", "new"])
def test_answers_that_the_scores_were_not_counted_from_are_refused(
    tmp_path: Path, model: str
) -> None:
    found = versus()
    for name, side in (("old", found.champion), ("new", found.challenger)):
        written(tmp_path, name, side, _answers(side))
    path = tmp_path / f"{model}.jsonl"
    path.write_text(path.read_text().replace("false", "true", 1))
    with pytest.raises(DigestError, match=rf"{model}\.jsonl has digest sha256:"):
        made(tmp_path)
    assert not (tmp_path / "page.html").exists()


def test_answers_to_scores_that_name_none_are_refused(tmp_path: Path) -> None:
    found = versus()
    for name, side in (("old", found.champion), ("new", found.challenger)):
        written(tmp_path, name, side, _answers(side))
    replace(found.champion.scores, predictions_digest=None).write(tmp_path / "old.json")
    with pytest.raises(DigestError, match="answers of digest None"):
        made(tmp_path)


@pytest.mark.parametrize(
    ("field", "whose"),
    [("champion_predictions", "champion"), ("challenger_predictions", "challenger")],
)
def test_tests_of_other_answers_are_refused(field: str, whose: str) -> None:
    found = versus()
    assert found.paired is not None
    with pytest.raises(DigestError, match=f"digest of the {whose}'s answers"):
        replace(found, paired=replace(found.paired, **{field: digest("third")}))  # type: ignore[arg-type]  # one of its digests


def test_where_there_is_no_champion_yet_the_page_says_so() -> None:
    found = versus()
    assert found.paired is not None
    untested = replace(
        found.paired,
        champion_digest=None,
        champion_predictions=None,
        tests=(),
        note="there is no champion yet",
    )
    text = page(replace(found, paired=untested))
    assert "Nothing was tested row by row: there is no champion yet." in text
    assert "Holm" not in text


def test_tests_against_a_champion_that_they_do_not_name_are_refused() -> None:
    found = versus()
    assert found.paired is not None
    with pytest.raises(DigestError, match="digest of the champion is None"):
        replace(found, paired=replace(found.paired, champion_digest=None))


@pytest.mark.parametrize(
    ("reference", "words"),
    [("merged float32 model", "Against the merged float32 model ("), ("", "unquantized file (")],
)
def test_the_ladder_names_what_it_is_held_against(reference: str, words: str) -> None:
    assert words in ladder_section(replace(ladder(), reference=reference)).note
