"""Asking a running server: what is known, what is not, and what is refused."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.conftest import LABELS, PROMPT, labelled_dataset
from tests.fakes.openai_server import FakeOpenAi, Json, Reply, card, said
from wherry.contracts import (
    Dataset,
    Manifest,
    Scores,
    digest_bytes,
    digest_file,
)
from wherry.contracts.errors import (
    DataError,
    DigestError,
    EndpointError,
    SettingsError,
    UriError,
    WherryError,
)
from wherry.evaluate.adapters.openai import OpenAiAnswerer, label_scores
from wherry.evaluate.endpoint.run import run
from wherry.evaluate.settings import Endpoint
from wherry.progress import Silent

MODEL = digest_bytes(b"weights")
OTHER = digest_bytes(b"others")


@pytest.mark.parametrize(
    ("first", "wanted"),
    [
        # All are listed as a whole.
        ({"heart": -0.1, "bone": -3.0, "skin": -5.0}, (-3.0, -0.1, -5.0)),
        # What is not listed is less probable than what is.
        ({"heart": -0.1, "the": -3.0}, (-math.inf, -0.1, -math.inf)),
        # "sk" could become skin, but not with more than its own probability.
        ({"heart": -0.1, "sk": -3.0}, (-math.inf, -0.1, -math.inf)),
        # It could overtake: nobody knows.
        ({"sk": -0.1, "heart": -3.0}, ()),
        ({"s": -0.1, "heart": -0.1}, ()),
        # No label at all, or nothing told.
        ({"The": -0.1, " heart": -0.2}, ()),
        ({"": -0.1}, ()),
        ({}, ()),
    ],
)
def test_labels_are_scored_as_far_as_the_first_tokens_tell(
    first: dict[str, float], wanted: tuple[float, ...]
) -> None:
    tokens = [(token.encode(), score) for token, score in first.items()]
    assert label_scores(tokens, LABELS) == wanted


def _server(reply: Callable[[Json], Reply] | None = None, *cards: Json) -> FakeOpenAi:
    return FakeOpenAi(
        list(cards or (card("slm", digest=MODEL),)), reply or (lambda _: (200, said("heart")))
    )


def _answerer(server: FakeOpenAi, **endpoint: Any) -> OpenAiAnswerer:
    return OpenAiAnswerer(server.url, Endpoint(retries=0, **endpoint), max_new_tokens=4)


def test_a_row_is_asked_greedily_and_without_a_key_that_nobody_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with _server(lambda _: (200, said("Heart", {"heart": -0.2, "bone": -2.0}))).serving() as server:
        (found,) = _answerer(server).answer([PROMPT], LABELS, Silent())
    assert found.text == "Heart"
    assert found.label_scores == (-2.0, -0.2, -math.inf)
    (body,) = server.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("slm", 0.0, 4)
    assert body["messages"] == [
        {"role": "system", "content": "Name it."},
        {"role": "user", "content": "It pumps."},
    ]
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert set(server.keys) == {"Bearer none"}


def test_probabilities_are_not_asked_for_where_no_label_or_no_list_is_wanted() -> None:
    with _server().serving() as server:
        _answerer(server).answer([PROMPT], (), Silent())
        _answerer(server, top_logprobs=0).answer([PROMPT], LABELS, Silent())
    assert all("logprobs" not in body for body in server.bodies)


def test_a_model_that_thinks_is_asked_for_nothing_that_it_refuses() -> None:
    with _server().serving() as server:
        _answerer(server, reasoning=True).answer([PROMPT], LABELS, Silent())
    (body,) = server.bodies
    assert body["max_completion_tokens"] == 4
    assert set(body) == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("reason", "cut"), [("length", True), ("stop", False), (None, False), (7, False)]
)
def test_it_is_known_whether_the_limit_ended_an_answer(reason: object, cut: bool) -> None:
    reply = said("heart")
    reply["choices"][0]["finish_reason"] = reason
    with _server(lambda _: (200, reply)).serving() as server:
        (found,) = _answerer(server).answer([PROMPT], (), Silent())
    assert found.cut is cut


def test_the_key_comes_from_the_environment_and_stands_in_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAM_KEY", "sk-very-secret")
    refused = {"error": {"message": "bad key sk-very-secret for: It pumps.", "code": "invalid"}}
    with _server(lambda _: (401, refused)).serving() as server:
        answerer = _answerer(server, api_key_variable="TEAM_KEY")
        with pytest.raises(EndpointError, match=r"status 401.*TEAM_KEY") as caught:
            answerer.answer([PROMPT], (), Silent())
    assert set(server.keys) == {"Bearer sk-very-secret"}
    for hidden in ("sk-very-secret", "It pumps"):
        assert hidden not in str(caught.value)


@pytest.mark.parametrize("told", ["sk-mounted\n", " sk-mounted\r\n"])
def test_a_key_that_ends_in_a_new_line_as_mounted_secrets_do_is_sent_without(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("TEAM_KEY", told)
    with _server().serving() as server:
        _answerer(server, api_key_variable="TEAM_KEY").answer([PROMPT], (), Silent())
    assert set(server.keys) == {"Bearer sk-mounted"}


@pytest.mark.parametrize("told", ["sk-one\nsk-two", "sk sesame", "sk-s\u00e9same"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_told(
    monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("TEAM_KEY", told)
    with _server().serving() as server, pytest.raises(EndpointError, match="TEAM_KEY") as caught:
        _answerer(server, api_key_variable="TEAM_KEY")
    assert "sk" not in str(caught.value)
    assert not server.keys


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_that_lists_no_models_is_asked_for_the_one_that_is_named(status: int) -> None:
    with _server().serving() as server:
        server.listing = status
        found = _answerer(server, model="gateway/slm", digest=OTHER)
        assert found.answer([PROMPT], (), Silent())[0].text == "heart"
        for lacking in ({"model": "slm"}, {"digest": OTHER}):
            with pytest.raises(EndpointError, match=f"status {status}"):
                _answerer(server, **lacking)
    assert (found.model_digest, found.verified) == (OTHER, False)
    assert server.bodies[0]["model"] == "gateway/slm"


@pytest.mark.parametrize(
    ("cards", "endpoint", "digest", "verified"),
    [
        ([card("slm", digest=MODEL)], {}, MODEL, True),
        ([card("slm", digest=MODEL)], {"digest": MODEL}, MODEL, True),
        ([card("slm")], {"digest": OTHER}, OTHER, False),
        ([card("slm", digest="latest")], {"digest": OTHER}, OTHER, False),
        ([card("a", digest=MODEL), card("b", digest=OTHER)], {"model": "b"}, OTHER, True),
    ],
)
def test_the_models_digest_is_the_servers_own_or_given_and_then_unverified(
    cards: list[Json], endpoint: Json, digest: str, verified: bool
) -> None:
    with _server(None, *cards).serving() as server:
        found = _answerer(server, **endpoint)
    assert (found.model_digest, found.verified) == (digest, verified)


@pytest.mark.parametrize(
    ("cards", "endpoint", "error", "message"),
    [
        ([card("slm")], {}, DigestError, "does not say which model"),
        ([card("slm", digest=MODEL)], {"digest": OTHER}, DigestError, "expected sha256"),
        ([card("a"), card("b")], {}, EndpointError, "has 2 models, expected one; it has a, b"),
        ([card("a")], {"model": "b"}, EndpointError, "no model 'b'"),
    ],
)
def test_a_server_whose_model_is_not_known_is_refused(
    cards: list[Json], endpoint: Json, error: type[WherryError], message: str
) -> None:
    with _server(None, *cards).serving() as server, pytest.raises(error, match=message):
        _answerer(server, **endpoint)


def test_a_model_that_is_replaced_meanwhile_is_noticed() -> None:
    with _server(lambda _: (200, said("heart", None, OTHER))).serving() as server:
        answerer = _answerer(server)
        with pytest.raises(DigestError, match="answers with a model of digest"):
            answerer.answer([PROMPT], (), Silent())


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (400, DataError, "status 400"),
        (404, EndpointError, "status 404"),
        (500, EndpointError, "status 500"),
    ],
)
def test_a_refusal_tells_the_status_and_not_the_text(
    status: int, error: type[WherryError], message: str
) -> None:
    body = {"error": {"message": "too long: It pumps.", "code": None}}
    with _server(lambda _: (status, body)).serving() as server:
        answerer = _answerer(server)
        with pytest.raises(error, match=message) as caught:
            answerer.answer([PROMPT], (), Silent())
    assert "It pumps" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        ({"code": "context_length_exceeded"}, DataError, "Shorten the row, or give"),
        ({"code": 400, "type": "exceed_context_size_error"}, DataError, "Shorten the row, or give"),
        ({"code": "unsupported_value", "param": "top_logprobs"}, EndpointError, "Set endpoint.top"),
        (
            {"code": "unsupported_parameter", "param": "max_tokens"},
            EndpointError,
            "If the model th",
        ),
        ({"code": "unsupported_value", "param": "temperature"}, EndpointError, "If the model th"),
        ({"code": "invalid_json"}, EndpointError, "Check the URL"),
        ({"code": 400}, DataError, "See the server's log"),
        ({}, DataError, "See the server's log"),
    ],
)
def test_a_bad_request_is_answered_by_what_the_server_says_is_wrong(
    error: Json, kind: type[WherryError], remedy: str
) -> None:
    with _server(lambda _: (400, {"error": {"message": "no"} | error})).serving() as server:
        answerer = _answerer(server)
        with pytest.raises(kind) as caught:
            answerer.answer([PROMPT], (), Silent())
    assert caught.value.remedy.startswith(remedy)


def test_a_busy_server_is_asked_again() -> None:
    answers = iter([(429, {"error": {"message": "busy"}}), (200, said("heart"))])
    with _server(lambda _: next(answers)).serving() as server:
        answerer = OpenAiAnswerer(server.url, Endpoint(retries=2), max_new_tokens=4)
        assert answerer.answer([PROMPT], (), Silent())[0].text == "heart"


def test_a_busy_server_is_left_alone_as_long_as_it_asks() -> None:
    busy = (429, {"error": {"message": "busy"}}, {"Retry-After": "0.8"})
    answers = iter([busy, (200, said("heart"))])
    with _server(lambda _: next(answers)).serving() as server:
        answerer = OpenAiAnswerer(server.url, Endpoint(retries=1), max_new_tokens=4)
        started = time.monotonic()
        assert answerer.answer([PROMPT], (), Silent())[0].text == "heart"
    # Without the header it would wait half a second at most.
    assert time.monotonic() - started >= 0.8


def test_a_server_that_asks_to_be_left_alone_for_long_is_not_waited_for() -> None:
    busy = (429, {"error": {"message": "busy"}}, {"Retry-After": "3600"})
    with _server(lambda _: busy).serving() as server:
        answerer = OpenAiAnswerer(server.url, Endpoint(retries=3), max_new_tokens=4)
        with pytest.raises(EndpointError, match=r"status 429.*lower endpoint\.parallel"):
            answerer.answer([PROMPT], (), Silent())
    assert len(server.bodies) == 1


def _slow(_: Json) -> Reply:
    time.sleep(0.5)
    return 200, said("late")


PAGE = b"<html><body>Sign in, please.</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
NO_CONTENT = {**said("x"), "choices": [{"message": {"content": [{"text": "It pumps."}]}}]}
ODD_TOKENS = said("heart", {"heart": -0.1})
ODD_TOKENS["choices"][0]["logprobs"]["content"][0]["top_logprobs"][0]["bytes"] = [300]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        pytest.param((200, PAGE, HTML), "sends a web page", id="page"),
        pytest.param((200, PAGE), "JSON is malformed", id="page that says it is JSON"),
        pytest.param((200, b""), "does not answer by OpenAI's protocol", id="nothing"),
        pytest.param((200, b'{"choices": [{'), "truncated", id="half an answer"),
        pytest.param((200, b"\xff\xfe{}"), "does not answer by OpenAI's", id="no text"),
        pytest.param((200, b"null"), "Expected `object`, got `null`", id="null"),
        pytest.param((200, {"error": {"message": "no"}}), "missing .* `choices`", id="an error"),
        pytest.param((200, {"choices": None}), "choices", id="null choices"),
        pytest.param((200, {"choices": []}), "with no choice", id="no choice"),
        pytest.param((200, {"choices": [{}]}), "missing .* `message`", id="no message"),
        pytest.param((200, NO_CONTENT), r"message\.content", id="parts"),
        pytest.param((200, ODD_TOKENS), "top_logprobs", id="no bytes"),
        pytest.param(
            (200, b"data: {}\n\ndata: [DONE]\n\n", {"Content-Type": "text/event-stream"}),
            "JSON is malformed",
            id="a stream",
        ),
        pytest.param((200, said("x"), {"Content-Length": "9999"}), "did not answer", id="cut off"),
        pytest.param(None, "did not answer", id="closed"),
        pytest.param((500, PAGE, HTML), "status 500", id="a page of an error"),
        pytest.param((400, b"[]"), "status 400", id="a list of errors"),
        pytest.param((429, {"error": "busy"}), "status 429", id="busy"),
    ],
)
def test_what_is_no_answer_is_said_in_a_sentence(reply: Reply, message: str) -> None:
    with _server(lambda _: reply).serving() as server:
        answerer = _answerer(server)
        with pytest.raises((EndpointError, DataError), match=message) as caught:
            answerer.answer([PROMPT], LABELS, Silent())
    assert "It pumps" not in str(caught.value)
    assert caught.value.remedy.endswith(".")


def test_a_server_that_lists_its_models_otherwise_is_said_so() -> None:
    with (
        _server(None, {"name": "slm"}).serving() as server,
        pytest.raises(EndpointError, match="missing required field `id`"),
    ):
        _answerer(server)


def test_what_other_servers_add_or_leave_out_does_no_harm() -> None:
    plain = {"choices": [{"message": {"content": None, "tool_calls": []}, "index": "first"}]}
    bare = {**said("heart"), "choices": [{"message": {"content": "heart"}, "logprobs": {}}]}
    answers = iter([plain, bare, said("heart")])
    with _server(lambda _: (200, next(answers), {"Content-Type": None})).serving() as server:
        found = _answerer(server, parallel=1).answer([PROMPT] * 3, LABELS, Silent())
    assert [(each.text, each.label_scores) for each in found] == [("", ()), *[("heart", ())] * 2]


def test_a_server_that_takes_too_long_is_said_so() -> None:
    with _server(_slow).serving() as server:
        answerer = _answerer(server, timeout=0.1)
        with pytest.raises(EndpointError, match=r"did not answer within 0\.1 s"):
            answerer.answer([PROMPT], (), Silent())


def test_nobody_at_the_address_is_said_so() -> None:
    with _server().serving() as server:
        url = server.url
    with pytest.raises(EndpointError, match="did not answer: ConnectError"):
        OpenAiAnswerer(url, Endpoint(retries=0, timeout=5), max_new_tokens=4)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080/v1",
        "file:///etc/passwd",
        "http://",
        "http://u:p@host/v1",
        "http://host/v1?key=abc",
        "http://host/v1#key=abc",
        "http://host:abc/v1",
        "http://host:99999/v1",
        "http://[::1/v1",
        "http://ho\nst/v1",
    ],
)
def test_an_address_that_is_none_or_tells_a_secret_is_refused(url: str) -> None:
    with pytest.raises(UriError) as caught:
        OpenAiAnswerer(url, Endpoint(), max_new_tokens=4)
    assert "u:p" not in str(caught.value)
    assert "abc" not in str(caught.value)


def _run(server: FakeOpenAi, tmp_path: Path, **settings: Any) -> Scores:
    paths = (labelled_dataset(tmp_path / "data"), tmp_path / "scores.json", tmp_path / "made.jsonl")
    wanted = {"endpoint": {"retries": 0}} | settings
    return run(*paths, "served", server.url, json.dumps(wanted))


def test_the_stage_scores_a_server_and_says_who_vouches_for_the_model(tmp_path: Path) -> None:
    tops = {"heart": -0.1, "bone": -1.0, "skin": -2.0}
    with _server(lambda _: (200, said("heart", tops))).serving() as server:
        found = _run(server, tmp_path)
    assert Scores.read(tmp_path / "scores.json") == found
    assert (found.engine, found.model_digest, found.model_verified) == ("openai", MODEL, True)
    assert found.predictions_digest == digest_file(tmp_path / "made.jsonl")
    values = {m.name: m.value for m in found.metrics if not m.slice}
    assert values["accuracy"] == values["label_accuracy"] == pytest.approx(1 / 3)
    assert values["calibration_error"] is not None
    assert values["latency"] is not None and values["latency"] > 0
    assert "size" not in values
    assert found.confusion is not None
    assert found.confusion.counts == ((0, 2, 0, 0), (0, 2, 0, 0), (0, 2, 0, 0))


def test_label_numbers_of_a_server_that_tells_no_probabilities_are_missing(tmp_path: Path) -> None:
    with _server().serving() as server:
        found = _run(server, tmp_path)
    for name in ("label_accuracy", "calibration_error"):
        metric = found.find(name)
        assert metric is not None
        assert (metric.value, metric.n) == (None, 0)


def test_a_stage_that_failed_goes_on_with_what_was_answered(tmp_path: Path) -> None:
    answers = [(200, said("heart"))] * 4 + [(500, {"error": {"message": "down"}})]
    left = iter(answers)
    settings = {"save_every": 2, "endpoint": {"retries": 0, "parallel": 1}}
    with _server(lambda _: next(left)).serving() as server:
        with pytest.raises(EndpointError, match="status 500"):
            _run(server, tmp_path, **settings)
        assert not (tmp_path / "made.jsonl").exists()
        server.reply = lambda _: (200, said("heart"))
        server.bodies.clear()
        paths = (tmp_path / "data", tmp_path / "scores.json", tmp_path / "made.jsonl")
        run(*paths, "served", server.url, json.dumps(settings))
    assert len(server.bodies) == 2
    assert len((tmp_path / "made.jsonl").read_text().splitlines()) == 6


TWO = [card("a", digest=MODEL), card("b", digest=MODEL)]
SAVING = {
    "save_every": 2,
    "max_new_tokens": 256,  # room to think, where the model does
    "endpoint": {"retries": 0, "parallel": 1, "model": "a"},
}


def _killed_after_four_rows(server: FakeOpenAi, tmp_path: Path) -> None:
    left = iter([(200, said("heart"))] * 4 + [(500, {"error": {"message": "down"}})])
    server.reply = lambda _: next(left)
    with pytest.raises(EndpointError, match="status 500"):
        _run(server, tmp_path, **SAVING)
    server.bodies.clear()


def _rows_asked(server: FakeOpenAi, tmp_path: Path, **endpoint: Any) -> int:
    server.reply = lambda _: (200, said("heart"))
    settings = SAVING | {"endpoint": {**SAVING["endpoint"], **endpoint}}
    paths = (tmp_path / "data", tmp_path / "scores.json", tmp_path / "made.jsonl")
    run(*paths, "served", server.url, json.dumps(settings))
    return len(server.bodies)


@pytest.mark.parametrize(
    ("data", "cards", "endpoint", "asked"),
    [
        ({}, TWO, {}, 2),
        ({"labels": (*LABELS, "toe")}, TWO, {}, 6),
        ({"kind": "instruction"}, TWO, {}, 6),
        ({}, [card("a")], {"digest": MODEL}, 6),
        ({}, TWO, {"model": "b"}, 6),
        ({}, TWO, {"template_digest": OTHER}, 6),
        ({}, TWO, {"top_logprobs": 5}, 6),
        ({}, TWO, {"reasoning": True}, 6),
        ({}, TWO, {"timeout": 60.0, "parallel": 2}, 2),
    ],
)
def test_what_was_answered_serves_only_the_same_labels_kind_and_model(
    tmp_path: Path, data: Json, cards: list[Json], endpoint: Json, asked: int
) -> None:
    with _server(None, *TWO).serving() as server:
        _killed_after_four_rows(server, tmp_path)
        described = tmp_path / "data" / "dataset.json"
        replace(Dataset.read(described), **data).write(described)
        Manifest.seal(tmp_path / "data")
        server.cards = cards
        assert _rows_asked(server, tmp_path, **endpoint) == asked


def test_what_one_server_answered_serves_no_other(tmp_path: Path) -> None:
    with _server(None, *TWO).serving() as one, _server(None, *TWO).serving() as other:
        _killed_after_four_rows(one, tmp_path)
        assert _rows_asked(other, tmp_path) == 6


def test_what_a_server_says_instead_of_an_answer_is_a_refusal(tmp_path: Path) -> None:
    reply = said("")
    no = {"role": "assistant", "content": None, "refusal": "I'm sorry, I can't help with that."}
    reply["choices"][0]["message"] = no
    with _server(lambda _: (200, reply)).serving() as server:
        found = _run(server, tmp_path, measures=["refusal_rate", "accuracy"])
    rate = found.find("refusal_rate")
    assert rate is not None and rate.value == 1.0
    assert (
        json.loads((tmp_path / "made.jsonl").read_text().splitlines()[0])["answer"] == no["refusal"]
    )


def test_perplexity_cannot_be_asked_of_a_server(tmp_path: Path) -> None:
    with (
        _server().serving() as server,
        pytest.raises(SettingsError, match="how probable a given text is"),
    ):
        _run(server, tmp_path, measures=["perplexity"])


def test_a_template_that_nobody_names_is_that_of_no_model(tmp_path: Path) -> None:
    with _server().serving() as server:
        assert _answerer(server).template_digest == digest_bytes(b"")
        named = replace(Endpoint(), template_digest=OTHER)
        assert OpenAiAnswerer(server.url, named, max_new_tokens=4).template_digest == OTHER
