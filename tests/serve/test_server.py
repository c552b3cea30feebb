"""The real server on the real model, as its clients meet it."""

import contextlib
import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from tests.serve.served import Served, free_port, start, wait_ready

pytestmark = pytest.mark.local

CHAT = "/openai/v1/chat/completions"
PREDICT = "/v1/models/slm:predict"
INFER = "/v2/models/slm/infer"
HI = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def client(server: Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key="none", max_retries=0)


def post(server: Served, path: str, body: Any) -> tuple[int, Any]:
    status, data = server.ask("POST", path, json.dumps(body).encode())
    return status, json.loads(data)


def test_the_openai_client_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="slm", messages=HI, max_tokens=8, temperature=0, seed=1
    )
    assert answer.model == "slm"
    assert answer.choices[0].message.content
    assert answer.usage
    assert answer.usage.completion_tokens <= 8
    assert answer.system_fingerprint
    assert answer.system_fingerprint.startswith("sha256:")


def test_a_stream_carries_the_same_text(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "slm", "messages": HI, "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    parts = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert text == whole
    assert len(parts) > 3
    assert parts[-1].usage
    assert parts[-1].usage.total_tokens > 8


def test_the_openai_client_lists_the_model(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["slm"]
    assert client.models.retrieve("slm").id == "slm"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_the_openai_client_reads_our_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.chat.completions.create(model="gpt-4", messages=HI)
    with pytest.raises(openai.BadRequestError, match="256") as caught:
        client.chat.completions.create(
            model="slm", messages=[{"role": "user", "content": "word " * 2000}], stream=True
        )
    assert caught.value.code == "context_length_exceeded"


def test_tools_that_are_not_to_be_called_need_no_template_that_knows_them(server: Served) -> None:
    body = {"messages": HI, "max_tokens": 1, "tools": [TOOL], "tool_choice": "none"}
    assert post(server, CHAT, body)[0] == 200


def test_several_answers_come_in_one(server: Served) -> None:
    status, body = post(server, CHAT, {"messages": HI, "max_tokens": 2, "n": 2})
    assert status == 200
    assert [choice["index"] for choice in body["choices"]] == [0, 1]


@pytest.mark.parametrize("asked", [{}, {"top_logprobs": 0}, {"top_logprobs": 2}])
def test_log_probabilities_are_of_as_many_others_as_asked(
    client: openai.OpenAI, asked: dict[str, int]
) -> None:
    body: dict[str, Any] = {"model": "slm", "messages": HI, "max_tokens": 3, "temperature": 0}
    body["logprobs"] = True
    whole = client.chat.completions.create(**body, **asked).choices[0].logprobs
    parts = [
        part.choices[0].logprobs
        for part in client.chat.completions.create(**body, **asked, stream=True)
    ]
    for found in (whole, *filter(None, parts)):
        assert found
        assert found.content
        others = {len(token.top_logprobs) for token in found.content}
        assert others == {asked.get("top_logprobs", 0)}
        assert all(token.logprob <= 0 for token in found.content)
    assert any(parts)


def test_kserve_protocols_answer(server: Served) -> None:
    short = {"max_tokens": 4}
    status, body = post(
        server, PREDICT, {"instances": ["Hi", {"prompt": "Hi"}, {"messages": HI}]} | short
    )
    assert status == 200
    assert len(body["predictions"]) == 3
    assert all(isinstance(text, str) and text for text in body["predictions"])
    tensor = {"name": "prompt", "datatype": "BYTES", "shape": [2], "data": ["Hi", "Hi"]}
    status, body = post(server, INFER, {"id": "7", "inputs": [tensor], "parameters": short})
    assert status == 200
    assert body["id"] == "7"
    assert body["outputs"][0]["shape"] == [2]
    assert body["outputs"][0]["data"][0] == body["outputs"][0]["data"][1] != ""


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("/v1/models", b'"slm"'),
        ("/v2/health/live", b"true"),
        ("/v2/health/ready", b"true"),
        ("/v2/models/slm", b"BYTES"),
        ("/v2/models/slm/ready", b"true"),
    ],
)
def test_it_tells_about_itself(server: Served, path: str, holds: bytes) -> None:
    status, body = server.ask("GET", path)
    assert status == 200
    assert holds in body


def test_metrics_count_what_was_answered(server: Served) -> None:
    def count() -> float:
        _, body = server.ask("GET", "/metrics")
        head = 'wherry_chat_seconds_count{model_name="slm",status="200"}'
        lines = [line for line in body.decode().splitlines() if line.startswith(head)]
        return float(lines[0].rpartition(" ")[2]) if lines else 0

    before = count()
    assert post(server, CHAT, {"messages": HI, "max_tokens": 1})[0] == 200
    assert count() == before + 1


LONG = [{"role": "user", "content": "word " * 2000}]
IMAGE = [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
TENSOR = {"name": "p", "datatype": "BYTES", "shape": [1], "data": ["hi"]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, b"", 400),
        (CHAT, b"{", 400),
        (CHAT, b"\xff\xfe", 400),
        (CHAT, b"[" * 50_000, 400),
        (CHAT, {}, 400),
        (CHAT, {"messages": []}, 400),
        (CHAT, {"messages": [{"role": "user"}]}, 400),
        (CHAT, {"messages": [{"role": "user", "content": 7}]}, 400),
        (CHAT, {"messages": [{"role": "user", "content": IMAGE}]}, 400),
        (CHAT, b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        (CHAT, {"messages": HI, "max_tokens": -1}, 400),
        (CHAT, {"messages": HI, "temperature": "hot"}, 400),
        (CHAT, {"messages": HI, "n": 3}, 400),
        (CHAT, {"messages": HI, "top_logprobs": 2}, 400),
        (CHAT, {"messages": HI, "tools": [{}]}, 400),
        (CHAT, {"messages": HI, "tools": [TOOL]}, 400),
        (CHAT, {"messages": HI, "tools": [TOOL], "tool_choice": "required"}, 400),
        (CHAT, {"messages": HI, "stop": [""]}, 400),
        (CHAT, {"messages": HI, "response_format": {"type": "poem"}}, 400),
        (CHAT, {"messages": LONG}, 400),
        (CHAT, {"messages": LONG, "stream": True}, 400),
        (CHAT, {"messages": HI, "model": "gpt-4"}, 404),
        (CHAT, b" " * (1 << 21), 413),
        (PREDICT, b"{", 400),
        (PREDICT, b"[]", 400),
        (PREDICT, b"3", 400),
        (PREDICT, {}, 400),
        (PREDICT, {"instances": "hi"}, 400),
        (PREDICT, {"instances": [{"text": "hi"}]}, 400),
        (PREDICT, {"instances": [{"messages": LONG}]}, 400),
        (PREDICT, {"instances": ["hi"], "parameters": {"max_tokens": "x"}}, 400),
        ("/v1/models/other:predict", {"instances": ["hi"]}, 404),
        (INFER, b"{", 400),
        (INFER, b"[]", 400),
        (INFER, {}, 400),
        (INFER, {"inputs": []}, 400),
        (INFER, {"inputs": [TENSOR, TENSOR]}, 400),
        (INFER, {"inputs": [TENSOR | {"datatype": "FP32", "data": [1.0]}]}, 400),
        (INFER, {"inputs": [TENSOR | {"shape": [3]}]}, 400),
        (INFER, {"inputs": [TENSOR | {"data": [3]}]}, 400),
        (INFER, {"inputs": [TENSOR | {"shape": "x"}]}, 400),
        (INFER, {"inputs": [TENSOR], "parameters": {"max_tokens": -4}}, 400),
        ("/v2/models/other/infer", {"inputs": [TENSOR]}, 404),
        ("/v2/repository/models/slm/unload", {}, 404),
        ("/nowhere", {}, 404),
        ("/v2/health/ready", {}, 405),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(
    server: Served, path: str, body: Any, status: int
) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    found, answer = server.ask("POST", path, data)
    assert found == status, answer
    error = json.loads(answer)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_an_explanation_is_not_to_be_had(server: Served) -> None:
    status, answer = post(server, "/v1/models/slm:explain", {"instances": ["hi"]})
    assert (status, answer["error"]["type"]) == (501, "server_error")


def test_a_content_type_that_a_foreign_page_may_send_is_refused(server: Served) -> None:
    body = json.dumps({"messages": HI}).encode()
    assert server.ask("POST", CHAT, body, kind="text/plain")[0] == 415
    assert server.ask("POST", CHAT, body, kind=None)[0] == 415


def test_malformed_cloud_events_and_binary_tensors_are_refused(server: Served) -> None:
    for path, headers in (
        (PREDICT, {"ce-specversion": "9", "ce-id": "1", "ce-source": "a", "ce-type": "b"}),
        (PREDICT, {"ce-id": "1"}),
        (INFER, {"inference-header-content-length": "many"}),
        (INFER, {"inference-header-content-length": "9999"}),
    ):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
        kind = "application/octet-stream" if path == INFER else "application/json"
        connection.request("POST", path, b"[1]", headers | {"content-type": kind})
        answer = connection.getresponse()
        assert 400 <= answer.status < 500, (path, headers, answer.read())
        assert json.loads(answer.read())["error"]["message"]


def test_more_clients_than_slots_are_all_answered(server: Served) -> None:
    def one(number: int) -> int:
        messages = [{"role": "user", "content": f"Count to {number}."}]
        return post(server, CHAT, {"messages": messages, "max_tokens": 4})[0]

    with ThreadPoolExecutor(12) as clients:
        assert list(clients.map(one, range(12))) == [200] * 12


def test_a_client_who_leaves_a_stream_frees_its_slot(server: Served) -> None:
    body = json.dumps({"messages": HI, "stream": True, "temperature": 1.9}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            client.recv(64)
    started = time.monotonic()
    assert post(server, CHAT, {"messages": HI, "max_tokens": 1})[0] == 200
    assert time.monotonic() - started < 5


def _seconds_of_one(server: Served) -> float:
    started = time.monotonic()
    assert post(server, CHAT, {"messages": HI, "max_tokens": 1})[0] == 200
    return time.monotonic() - started


def test_clients_who_leave_the_line_are_not_worked_for(server: Served) -> None:
    asked = {"messages": HI, "max_tokens": 60, "temperature": 1.9, "logit_bias": {"2": -100}}
    body = json.dumps(asked).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    for client in clients:
        client.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    time.sleep(0.2)
    for client in clients:
        client.close()
    # All of them would take some minutes.
    assert _seconds_of_one(server) < 40


def test_an_instance_that_is_refused_ends_the_others(server: Served) -> None:
    told = {"max_tokens": 60, "temperature": 1.9}
    instances = [{"messages": LONG}, *["Tell me a long story."] * 63]
    assert post(server, PREDICT, {"instances": instances, "parameters": told})[0] == 400
    assert _seconds_of_one(server) < 25


def test_sigterm_ends_it_within_five_seconds_though_it_is_at_work(model_file: Path) -> None:
    port = free_port()
    process = start(model_file, port, "--context", "4096")
    served = wait_ready(process, port)
    body = json.dumps({"messages": HI, "stream": True, "logit_bias": {"2": -100}}).encode()
    busy = threading.Thread(target=lambda: _ignore(lambda: served.ask("POST", CHAT, body)))
    busy.start()
    time.sleep(1)
    assert busy.is_alive()
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 5
    busy.join(10)


def _ignore(action: Any) -> None:
    with contextlib.suppress(OSError, HTTPException):  # cut off in the middle, as it must be
        action()


def failed_start(model: Path, *options: str, port: int = 0) -> str:
    process = start(model, port or free_port(), *options)
    _, text = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in text
    return text


def test_other_bytes_than_expected_are_never_loaded(model_file: Path) -> None:
    text = failed_start(model_file, "--expect-digest", "sha256:" + "0" * 64)
    assert text.startswith("E_DIGEST: ")
    assert "expected sha256:000" in text


def test_another_template_than_expected_is_refused(model_file: Path) -> None:
    assert failed_start(model_file, "--expect-template", "sha256:" + "0" * 64).startswith(
        "E_TEMPLATE: "
    )


@pytest.mark.faults
def test_a_file_that_was_cut_off_is_a_format_error(model_file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with model_file.open("rb") as whole:
        cut.write_bytes(whole.read(20_000_000))
    assert "E_FORMAT: llama.cpp cannot load" in failed_start(cut)


def test_a_port_in_use_is_told_before_anything_is_loaded(server: Served, model_file: Path) -> None:
    started = time.monotonic()
    text = failed_start(model_file, port=server.port)
    assert text.startswith(f"E_PORT: Port {server.port} on 127.0.0.1 cannot be used")
    assert time.monotonic() - started < 5


def test_a_strange_host_is_a_setting_error(model_file: Path) -> None:
    assert failed_start(model_file, "--host", "192.0.2.1").startswith("E_SETTINGS: ")


def test_only_the_loopback_is_listened_on(server: Served) -> None:
    process = psutil.Process(server.process.pid)
    listening = [each for each in process.connections("tcp") if each.status == "LISTEN"]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
    assert server.port in {each.laddr.port for each in listening}
