"""The page as a reader and a browser get it."""

import dataclasses
import math
import re
from collections import Counter
from dataclasses import replace
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.page.reader import LOADS, PAYLOAD, Reader, poisoned
from tests.report.records import evidence, refusal, refused
from wherry.contracts.digest import digest_record
from wherry.contracts.scores import Metric
from wherry.page.render import render
from wherry.report.evidence import Evidence
from wherry.report.settings import ReportSettings
from wherry.report.step import compose

GOLDENS = Path(__file__).parent / "goldens"


def page(found: Evidence, **chosen: Any) -> str:
    return render(
        "wherry.report",
        "page.html",
        page=compose(found, ReportSettings(**chosen), name="icd10-triage"),
    )


BOTH = pytest.mark.parametrize("found", [evidence(), refused()], ids=["released", "refused"])


@BOTH
def test_every_tag_is_closed_in_order(found: Evidence) -> None:
    assert Reader(page(found)).open == []


@BOTH
def test_it_is_small(found: Evidence) -> None:
    assert len(page(found).encode()) < 200_000


@BOTH
def test_it_loads_nothing_and_runs_nothing(found: Evidence) -> None:
    html = page(found)
    reader = Reader(html)
    for attribute in LOADS:
        assert all(value.startswith("#") for value in reader.values(attribute))
    assert not {"script", "link", "iframe", "object", "embed", "img", "base"} & {
        tag for tag, _ in reader.tags
    }
    assert not [name for _, found in reader.tags for name in found if name.startswith("on")]
    assert all(url == "#hatch" for url in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html
    assert "default-src 'none'" in html


@BOTH
def test_every_id_is_unique_and_every_reference_finds_its_own(found: Evidence) -> None:
    reader = Reader(page(found))
    ids = Counter(reader.values("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    wanted = {name for value in reader.values("aria-labelledby") for name in value.split()}
    wanted |= {value.removeprefix("#") for value in reader.values("href")}
    assert wanted <= set(ids)


@BOTH
def test_every_picture_has_a_name_and_every_header_a_scope(found: Evidence) -> None:
    tags = Reader(page(found)).tags
    for tag, attributes in tags:
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes.get("aria-labelledby") or attributes.get("aria-label")
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    outer = [a for tag, a in tags if tag == "svg" and "plot" in a.get("class", "")]
    assert len(outer) >= 7
    assert all(a["role"] == "img" for a in outer)


@BOTH
def test_headings_leave_out_no_level(found: Evidence) -> None:
    levels = [int(tag[1]) for tag, _ in Reader(page(found)).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_refused_run_is_red_and_gives_its_reasons_first() -> None:
    lines = Reader(page(refused())).lines
    assert "Refused: nothing was released" in lines
    places = [lines.index(reason) for reason in refusal().reasons]
    assert max(places) < lines.index("Data")


@BOTH
def test_no_value_of_a_record_becomes_markup(found: Evidence) -> None:
    records = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    bad = {name: poisoned(record) for name, record in records.items()}
    extra = Metric("shame" + PAYLOAD, 0.5, 10, 0.4, 0.6)
    quantized = replace(bad["quantized"], metrics=(*bad["quantized"].metrics, extra))
    verdict = replace(bad["blessing"], scores_digest=digest_record(quantized))
    html = page(Evidence(**{**bad, "quantized": quantized, "blessing": verdict}))
    clean, attacked = Reader(page(found)), Reader(html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert attacked.open == []
    assert {tag for tag, _ in attacked.tags} == {tag for tag, _ in clean.tags}
    names = {name for _, attributes in clean.tags for name in attributes}
    assert {name for _, attributes in attacked.tags for name in attributes} == names
    assert "{{ 7 }}" in html


@given(
    st.lists(
        st.builds(
            Metric,
            name=st.sampled_from(["accuracy", "f1", "label_accuracy", "size", "decode_speed", "x"]),
            value=st.none() | st.floats(),
            n=st.integers(0, 10**6),
            low=st.none() | st.floats(),
            high=st.none() | st.floats(),
            slice=st.sampled_from(["", "ear", "<b>eye</b>"]),
            unit=st.sampled_from(["", "bytes", "ms", "tokens/s"]),
        ),
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_scores_are_too_odd_to_show(metrics: list[Metric]) -> None:
    found = evidence()
    quantized = replace(found.quantized, metrics=tuple(metrics))
    verdict = replace(found.blessing, scores_digest=digest_record(quantized))
    html = page(replace(found, quantized=quantized, blessing=verdict))
    assert Reader(html).open == []
    assert not re.search(r"[\"> ](nan|inf|None)[%\"<]", html)


def test_a_cost_that_is_not_finite_is_not_drawn() -> None:
    found = evidence()
    quantized = replace(found.quantized, metrics=(Metric("size", math.inf, 1, unit="bytes"),))
    verdict = replace(found.blessing, scores_digest=digest_record(quantized))
    assert "inf" not in Reader(page(replace(found, quantized=quantized, blessing=verdict))).lines


def test_nothing_measured_at_all_is_a_page_still() -> None:
    found = evidence()
    empty = {name: replace(getattr(found, name), metrics=()) for name in ("base", "tuned")}
    quantized = replace(found.quantized, metrics=())
    verdict = replace(
        found.blessing, checks=(), champion_digest=None, scores_digest=digest_record(quantized)
    )
    bare = replace(
        found,
        **empty,
        quantized=quantized,
        blessing=verdict,
        validation=replace(found.validation, expectations=(), columns=(), quarantined=()),
        curve=replace(found.curve, points=(), settings={}, tokens_per_second=math.nan),
        parity=replace(found.parity, comparisons=()),
        deployment=replace(found.deployment, checks=()),
        example=(),
    )
    lines = Reader(page(bare)).lines
    for words in (
        "The file that ships has no measured accuracy.",
        "The loss was not measured.",
        "Sizes and speeds were not measured.",
        "None.",
        "No smoke test was recorded.",
        "none was live",
    ):
        assert words in lines


def test_a_name_that_the_page_lacks_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("wherry.report", "page.html", page=object())


def test_the_champion_is_compared_where_there_is_one() -> None:
    found = evidence()
    assert found.paired is not None
    assert "Against the champion" in page(found)
    untested = replace(found.paired, tests=(), note="the champion was asked other rows")
    assert "the champion was asked other rows" in page(replace(found, paired=untested))
    for nobody in (None, found.quantized.model_digest):
        alone = replace(found.paired, champion_digest=nobody, tests=())
        assert "Against the champion" not in page(replace(found, paired=alone))


@pytest.mark.parametrize("found", ["released", "refused"])
def test_what_a_reader_reads_is_as_it_was(found: str, request: pytest.FixtureRequest) -> None:
    given = {"released": evidence, "refused": refused}[found]()
    text = "\n".join(Reader(page(given)).lines) + "\n"
    golden = GOLDENS / f"{found}.txt"
    if request.config.getoption("--update-goldens", default=False):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def schemes() -> dict[str, dict[str, str]]:
    css = resources.files("wherry.page").joinpath("templates/style/colours.css").read_text()
    light, _, dark = css.partition("@media")
    return {name: colours(part) for name, part in (("light", light), ("dark", dark))}


def colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(scheme: str) -> None:
    of = schemes()[scheme]
    texts = [(t, b) for t in ("ink", "soft", "accent") for b in ("paper", "panel", "wash")]
    texts += [(state, f"{state}-wash") for state in ("good", "warn", "bad", "none")]
    texts += [("panel", "bad")]
    for text, behind in texts:
        assert contrast(of[text], of[behind]) >= 4.5, (text, behind)
    for mark in ("base", "tuned", "quantized", "split-train", "good", "bad"):
        assert contrast(of[mark], of["panel"]) >= 3, mark


def test_both_schemes_name_the_same_colours() -> None:
    assert set(schemes()["light"]) == set(schemes()["dark"])
