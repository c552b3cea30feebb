"""Clients' requests become what the engine is asked, or an error that names the field."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.serve.step import (
    RequestError,
    chat_request,
    infer_requests,
    predict_requests,
)

HI = [{"role": "user", "content": "hi"}]


def refused(body: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        chat_request(body if isinstance(body, bytes) else json.dumps(body).encode(), "slm")
    return caught.value


def test_known_fields_are_passed_on_and_unknown_ones_are_not() -> None:
    asked = chat_request(
        {"messages": HI, "model": "slm", "temperature": 0, "store": True, "id_slot": 3}, "slm"
    )
    assert asked == {"messages": HI, "temperature": 0.0}


def test_a_form_of_answers_is_passed_on_as_it_came() -> None:
    schema = {"type": "object", "properties": {"ward": {"enum": ["x"] * 1000}}, "required": []}
    form = {"type": "json_schema", "json_schema": {"name": "ward", "schema": schema}}
    asked = chat_request({"messages": HI, "response_format": form, "tools": []}, "slm")
    assert (asked["response_format"], asked["tools"]) == (form, [])


def test_the_newer_name_of_the_length_limit_is_taken() -> None:
    assert chat_request({"messages": HI, "max_completion_tokens": 7}, "slm")["max_tokens"] == 7


def test_the_newer_name_of_the_system_role_is_taken() -> None:
    asked = chat_request({"messages": [{"role": "developer", "content": "x"}]}, "slm")
    assert asked["messages"] == [{"role": "system", "content": "x"}]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "pirate", "content": "hi"}]}, "messages"),
        ({"messages": [{"content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": 3}]}, "messages"),
        ({"messages": HI, "max_tokens": -1}, "max_tokens"),
        ({"messages": HI, "max_tokens": 0}, "max_tokens"),
        ({"messages": HI, "max_tokens": 2.5}, "max_tokens"),
        ({"messages": HI, "max_tokens": "9"}, "max_tokens"),
        ({"messages": HI, "max_tokens": True}, "max_tokens"),
        ({"messages": HI, "temperature": 3}, "temperature"),
        ({"messages": HI, "top_p": "a"}, "top_p"),
        ({"messages": HI, "stream": "yes"}, "stream"),
        ({"messages": HI, "seed": 2**70}, "seed"),
        ({"messages": HI, "stop": [1]}, "stop"),
        ({"messages": HI, "stop": ""}, "stop"),
        ({"messages": HI, "stop": ["a", ""]}, "stop"),
        ({"messages": HI, "response_format": {"type": "json_schema"}}, "response_format"),
        (
            {"messages": HI, "response_format": {"type": "json_schema", "json_schema": "{}"}},
            "response_format",
        ),
        (
            {
                "messages": HI,
                "response_format": {"type": "json_schema", "json_schema": {"schema": "x"}},
            },
            "response_format",
        ),
        ({"messages": HI, "response_format": {"enum": [{"a": ["x"] * 1001}]}}, "response_format"),
        ({"messages": HI, "response_format": {"a": "x" * 65536}}, "response_format"),
        (
            {"messages": HI, "response_format": {"a": dict.fromkeys(map(str, range(1001)))}},
            "response_format",
        ),
        ({"messages": HI, "tools": [{"enum": ["x"] * 1001}]}, "tools"),
        ({"messages": HI, "tools": [{"description": "x" * 65536}]}, "tools"),
        ({"messages": HI, "logit_bias": {"1": "a"}}, "logit_bias"),
        ({"messages": HI, "response_format": "json"}, "response_format"),
        ({"messages": HI, "model": 7}, "model"),
    ],
)
def test_a_bad_field_is_named(body: dict[str, Any], param: str) -> None:
    error = refused(body)
    assert (error.status, error.param) == (400, param)
    assert error.body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"hi"', b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert refused(body).status == 400


@pytest.mark.parametrize("depth", range(100, 1100, 20))
def test_what_is_nested_deeply_is_passed_on_or_refused(depth: int) -> None:
    form = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"messages":[{"role":"user","content":"hi"}],"response_format":' + form + b"}"
    try:
        assert chat_request(body, "slm")["response_format"]
    except RequestError as error:
        assert error.status == 400


def test_another_model_does_not_exist() -> None:
    error = refused({"messages": HI, "model": "gpt-4"})
    assert (error.status, error.code) == (404, "model_not_found")
    assert "gpt-4" in str(error)
    assert "slm" in str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["messages", "model", "max_tokens", "role", "content", "stop"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_value_is_either_answered_or_refused(value: Any) -> None:
    for check in (lambda: chat_request(value, "slm"), lambda: predict_requests(value)):
        try:
            assert check()
        except RequestError as error:
            assert 400 <= error.status < 500


def test_every_form_of_an_instance_is_a_conversation() -> None:
    asked = predict_requests({"instances": ["hi", {"prompt": "hi"}, {"messages": HI}]})
    assert [each["messages"] for each in asked] == [HI, HI, HI]


def test_predictions_are_reproducible_unless_asked_otherwise() -> None:
    assert predict_requests({"instances": ["a"]})[0]["temperature"] == 0
    warm = {"instances": ["a"], "parameters": {"temperature": 1.5, "max_tokens": 3}}
    assert predict_requests(warm)[0] == {
        "messages": [{"role": "user", "content": "a"}],
        "temperature": 1.5,
        "max_tokens": 3,
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "instances"),
        ({"instances": "hi"}, "instances"),
        ({"instances": []}, "instances"),
        ({"instances": ["a"] * 65}, "instances"),
        ({"instances": ["a", 3]}, "instances[1]"),
        ({"instances": [{"prompt": 3}]}, "instances[0]"),
        ({"instances": [{"messages": "hi"}]}, "messages"),
        ({"instances": ["a"], "parameters": []}, "parameters"),
        ({"instances": ["a"], "parameters": {"max_tokens": -1}}, "max_tokens"),
    ],
)
def test_a_bad_instance_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        predict_requests(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_infer_takes_texts_and_utf8_bytes() -> None:
    asked = infer_requests(["ä", "ä".encode()], None)
    assert [each["messages"][0]["content"] for each in asked] == ["ä", "ä"]
    with pytest.raises(RequestError, match="UTF-8"):
        infer_requests([b"\xff"], None)
