"""What the catalogue promises: figures that fit together, each with its source."""

from pathlib import Path

import pytest

from wherry.base.templates import families
from wherry.contracts.errors import FormatError, MissingError
from wherry.quantize.families import FAMILIES as WRITTEN
from wherry.select.catalogue import Catalogue, Model, load, parse, shipped
from wherry.select.memory import parameters

MODELS = list(shipped().models.values())

OWN = """
models:
  - id: house-1b
    name: House 1B
    family: House
    hub: house/house-1b
    purpose: ours
    tasks: [classification]
    template: chatml
    licence: {name: Apache-2.0, terms: permissive}
    parameters: 1100048384
    context: 2048
    architecture: {layers: 22, hidden: 2048, intermediate: 5632, heads: 32, kv_heads: 4,
      head_dim: 64, vocab: 32000, tied: false}
    gguf: llama
    rooms: {tune: true, quantize: true}
    sources:
      architecture: {url: "https://house.example/config.json", verified: true}
      licence: {url: "https://house.example", verified: true}
      languages: {url: "https://house.example", verified: false}
"""


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_parameters_follow_from_the_architecture_within_one_percent(model: Model) -> None:
    assert parameters(model.architecture) == pytest.approx(model.parameters, rel=0.01)


@pytest.mark.parametrize(
    ("model", "published"),
    [
        # As the hub or a leaderboard states them, in billions.
        ("mixtral-8x7b", 46.703),
        ("qwen2.5-3b", 3.086),
        ("qwen2.5-1.5b", 1.544),
        ("mistral-7b", 7.25),
        ("gemma-3-270m", 0.268098176),
    ],
)
def test_parameters_agree_with_what_is_published(model: str, published: float) -> None:
    assert shipped().models[model].parameters / 1e9 == pytest.approx(published, rel=0.001)


def test_every_family_that_teams_ask_for_is_there() -> None:
    families = {model.family for model in MODELS}
    for family in ("Gemma", "Gemma 2", "Gemma 3", "CodeGemma", "RecurrentGemma", "PaliGemma"):
        assert family in families
    for family in ("ShieldGemma", "TinyLlama", "SmolLM2", "SmolLM3", "Phi", "Qwen2.5", "Qwen3"):
        assert family in families
    for family in ("Llama 3.2", "Mistral", "Mixtral", "Orca 2", "Code Llama"):
        assert family in families


def test_every_figure_has_an_address_and_says_whether_it_was_compared() -> None:
    for model in MODELS:
        for source in (model.sources.architecture, model.sources.licence, model.sources.languages):
            assert source.url.startswith("https://"), model.id
        assert all(
            name in ("architecture", "licence", "languages", "context") for name in model.unverified
        )


def test_every_template_that_is_named_can_be_given_to_a_base() -> None:
    assert {m.template for m in MODELS if m.template} <= set(families())


def test_what_is_not_permissive_says_what_has_to_be_accepted() -> None:
    for model in MODELS:
        assert model.licence.terms == "permissive" or model.licence.note, model.id


def test_what_the_rooms_cannot_do_is_said() -> None:
    for model in MODELS:
        assert model.whole_way or model.rooms.note, model.id
        assert not model.rooms.quantize or model.gguf in WRITTEN, model.id


def test_no_model_is_said_to_be_unknown_to_a_writer_that_knows_it() -> None:
    said = {m.gguf for m in MODELS if "writer" in m.rooms.note and m.gguf}
    assert said.isdisjoint(WRITTEN)


def test_special_models_are_offered_for_what_they_are_made_for_alone() -> None:
    tasks = {model.id: model.tasks for model in MODELS}
    assert tasks["codegemma-7b"] == tasks["codellama-7b"] == ("code",)
    assert tasks["paligemma-3b"] == ("vision",)
    assert tasks["shieldgemma-2b"] == ("moderation",)


def test_a_team_adds_a_model_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    models = load(file).models
    assert models["house-1b"].unverified == ("languages",)
    assert len(models) == len(MODELS) + 1


def test_a_team_replaces_one_of_ours_by_its_id(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace("house-1b\n", "tinyllama-1.1b\n", 1))
    models = load(file).models
    assert len(models) == len(MODELS)
    assert models["tinyllama-1.1b"].hub == "house/house-1b"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("layers: 22", "layers: 0", "layers must be at least 1, got 0"),
        ("layers: 22", "layers: many", "$.architecture.layers"),
        ("layers: 22", "floors: 22", "architecture: unknown field 'floors'"),
        ("kv_heads: 4", "kv_heads: 5", "kv_heads must divide heads 32, got 5"),
        ("terms: permissive", "terms: free", "$.licence.terms"),
        ("tasks: [classification]", "tasks: []", "tasks must name at least one"),
        ("tasks: [classification]", "tasks: [poetry]", "$.tasks[0]"),
        ("hub: house/house-1b", "hub: house", "hub must be ORG/NAME"),
        ("    context: 2048\n", "", "`context`"),
        ("    gguf: llama\n", "    gguff: llama\n", "unknown field 'gguff'"),
        ("verified: false", "verified: perhaps", "$.sources.languages.verified"),
        ("models:", "model:", "'models'"),
        ("models:", "models: [", "no valid YAML"),
    ],
)
def test_a_malformed_catalogue_is_refused_with_the_fields_name(
    old: str, new: str, told: str
) -> None:
    with pytest.raises(FormatError) as error:
        parse(OWN.replace(old, new, 1), where="own.yaml")
    assert "own.yaml" in str(error.value)
    assert told in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "models: []", "models: {}", "models: [3]", "\x00"])
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        parse(text, where="own.yaml")


def test_one_id_twice_is_refused() -> None:
    twice = OWN + OWN.partition("models:\n")[2]
    with pytest.raises(FormatError, match="'house-1b' appears twice"):
        parse(twice, where="own.yaml")


def test_python_objects_in_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        parse("models: [!!python/object/apply:os.getcwd []]", where="own.yaml")


def test_a_missing_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no\.yaml does not exist"):
        load(tmp_path / "no.yaml")


def test_merging_leaves_both_as_they_were() -> None:
    own = parse(OWN, where="own.yaml")
    empty = Catalogue()
    assert list(empty.merged(own).models) == ["house-1b"]
    assert not empty.models
