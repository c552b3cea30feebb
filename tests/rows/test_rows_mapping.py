"""Five kinds of rows, in the forms in which teams have them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from wherry.contracts import Kind, Message, Row
from wherry.contracts.dataset import MAX_LINE_BYTES
from wherry.rows import Columns
from wherry.rows.mapping import Mapper, Unfit, find

ASKED = Message("user", "ear ache")
TOLD = Message("assistant", "ear")
SYSTEM = Message("system", "Name the chapter.")
Q = {"role": "user", "content": "ear ache"}
A = {"role": "assistant", "content": "ear"}
B = {"role": "assistant", "content": "nose"}


def made(kind: Kind, values: dict[str, Any], **columns: str) -> Row:
    return Mapper(kind, Columns(**columns)).row({"id": "1"} | values, 100)


@pytest.mark.parametrize(
    ("values", "columns", "messages"),
    [
        ({"messages": [Q, A]}, {}, (ASKED, TOLD)),
        ({"prompt": "ear ache", "completion": "ear"}, {}, (ASKED, TOLD)),
        ({"prompt": [Q], "completion": [A]}, {}, (ASKED, TOLD)),
        (
            {"prompt": "ear ache", "completion": "ear", "system": "Name the chapter."},
            {},
            (SYSTEM, ASKED, TOLD),
        ),
        ({"prompt": "ear ache", "completion": "ear", "system": ""}, {}, (ASKED, TOLD)),
        ({"messages": [Q, A], "system": "ignored"}, {}, (ASKED, TOLD)),
        (
            {"messages": [Q, A], "s": "Name the chapter."},
            {"system": "s"},
            (SYSTEM, ASKED, TOLD),
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "ear ache"},
                    {"from": "gpt", "value": "ear"},
                ]
            },
            {"messages": "conversations"},
            (ASKED, TOLD),
        ),
        (
            {"messages": [{"role": "developer", "content": "Name the chapter."}, Q, A]},
            {},
            (SYSTEM, ASKED, TOLD),
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "ear "},
                            {"type": "text", "text": "ache"},
                        ],
                    },
                    A,
                ]
            },
            {},
            (ASKED, TOLD),
        ),
        (
            {"a.b": "ear ache", "c": {"d": [0, "ear"]}},
            {"prompt": "a.b", "completion": "c.d.1"},
            (ASKED, TOLD),
        ),
    ],
)
def test_a_conversation_is_read_in_every_dialect(
    values: dict[str, Any], columns: dict[str, str], messages: tuple[Message, ...]
) -> None:
    assert made("chat", values, **columns).messages == messages


@pytest.mark.parametrize(
    "values",
    [
        {"prompt": "ear ache", "chosen": "ear", "rejected": "nose"},
        {"prompt": [Q], "chosen": [A], "rejected": [B]},
        {"chosen": [Q, A], "rejected": [Q, B]},
        {"prompt": "ear ache", "chosen": [Q, A], "rejected": [Q, B]},
        {"messages": [Q, A], "rejected": "nose"},
        {"messages": [Q, A], "rejected": [B]},
    ],
)
def test_a_preference_is_read_in_every_form_of_trl(values: dict[str, Any]) -> None:
    assert made("preference", values) == Row("1", (ASKED, TOLD), rejected="nose")


def test_a_preference_keeps_its_system_turn() -> None:
    system = {"role": "system", "content": "Name the chapter."}
    row = made("preference", {"chosen": [system, Q, A], "rejected": [system, Q, B]})
    assert row == Row("1", (SYSTEM, ASKED, TOLD), rejected="nose")


def test_a_logged_request_and_response_is_traffic() -> None:
    values = {
        "request": {"messages": [Q]},
        "response": {"choices": [{"message": A}], "created": 1767225600, "model": "m:7"},
    }
    row = made(
        "traffic",
        values,
        messages="request.messages",
        completion="response.choices.0.message.content",
        time="response.created",
        model="response.model",
    )
    assert row == Row("1", (ASKED, TOLD), time="2026-01-01T00:00:00Z", model="m:7")


def test_plain_text_is_read() -> None:
    assert made("text", {"body": "words", "messages": 3}, text="body") == Row("1", text="words")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"),
        ("2026-03-01 12:00:00.5+02:00", "2026-03-01 12:00:00.5+02:00"),
        (0, "1970-01-01T00:00:00Z"),
        (datetime(2026, 3, 1, 12), "2026-03-01T12:00:00Z"),
        (datetime(2026, 3, 1, 12, tzinfo=UTC), "2026-03-01T12:00:00Z"),
        (None, ""),
    ],
)
def test_times_become_rfc_3339(given: Any, read: str) -> None:
    assert made("text", {"text": "x", "time": given}).time == read


@pytest.mark.parametrize(
    "given",
    [
        "yesterday",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-13-01T12:00:00Z",
        1e9,
        10**18,
        True,
        [1],
    ],
)
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(Unfit, match="`time`"):
        made("text", {"text": "x", "time": given})


def test_traffic_needs_a_time() -> None:
    with pytest.raises(Unfit, match="`time`"):
        made("traffic", {"messages": [Q, A]})


@pytest.mark.parametrize("field", ["id", "label", "group", "model"])
def test_whole_numbers_are_names(field: str) -> None:
    assert getattr(made("text", {"text": "x", field: 7}), field) == "7"


@pytest.mark.parametrize("value", [1.5, True, [1], {"a": 1}, b"x"])
def test_nothing_else_is_a_name(value: Any) -> None:
    with pytest.raises(Unfit, match="`label` must be text or a whole number"):
        made("text", {"text": "x", "label": value})


def test_a_row_without_id_is_named_by_its_content() -> None:
    mapper = Mapper("text", Columns())
    first, again = (mapper.row({"text": "words"}, 9) for _ in range(2))
    other = mapper.row({"text": "word"}, 9)
    assert first.id == again.id != other.id
    assert len(first.id) == 32
    assert mapper.row({"text": "words", "id": ""}, 9) == first


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("chat", {}, "`prompt` is missing"),
        ("chat", {"prompt": "x"}, "`completion` is missing"),
        ("chat", {"messages": []}, "`prompt` is missing"),
        ("text", {}, "`text` is missing"),
        ("text", {"text": ""}, "a text row has `text`"),
        ("text", {"text": 5}, "`text` must be text, got a number"),
        ("preference", {"chosen": "x"}, "`rejected` is missing"),
        ("preference", {"chosen": [Q, A], "rejected": []}, "`rejected` has no turn"),
        ("preference", {"chosen": [Q, A], "rejected": [A]}, "differ in the last alone"),
        ("preference", {"chosen": [Q, A], "rejected": [Q, Q]}, "differ in the last alone"),
        ("preference", {"rejected": "x"}, "`messages` is missing"),
        ("chat", {"messages": [{"role": 5, "content": "x"}]}, "the role of a turn"),
        ("chat", {"messages": [{"content": "x"}]}, "the role of a turn"),
        ("chat", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "type text"),
        ("chat", {"messages": {"role": "user"}}, "must be text or a list of turns, got an object"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(kind: Kind, values: dict[str, Any], told: str) -> None:
    with pytest.raises(Unfit, match=told):
        made(kind, values)


def test_a_row_that_grows_over_the_limit_when_written_is_refused() -> None:
    with pytest.raises(Unfit, match="longer than"):
        Mapper("text", Columns()).row({"text": "\1" * (MAX_LINE_BYTES // 4)}, MAX_LINE_BYTES // 4)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", 1),
        ("b.c", 2),
        ("b.d.1", 4),
        ("b.d.2", None),
        ("b.d.x", None),
        ("e", None),
        ("a.b", None),
        ("f.g", 5),
    ],
)
def test_dotted_paths_lead_into_objects_and_lists(path: str, found: Any) -> None:
    assert find({"a": 1, "b": {"c": 2, "d": [3, 4]}, "f.g": 5}, path) == found


@pytest.mark.parametrize("path", [".", "a..b", "a.", "x" * 201])
def test_a_path_with_an_empty_part_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="prompt must be a name or a dotted path"):
        Columns(prompt=path)
