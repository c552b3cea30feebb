"""The whole stage on a tiny model: files, refusals, and what is left behind."""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.quantize.conftest import Inputs
from wherry.contracts import Ladder, Manifest, ModelRef, digest_bytes, digest_file
from wherry.contracts.errors import (
    DigestError,
    FormatError,
    MissingError,
    ParityError,
    TemplateError,
)
from wherry.contracts.parity import Parity
from wherry.quantize.run import run

pytestmark = pytest.mark.local


def _run(inputs: Inputs, out: Path, **settings: object) -> ModelRef:
    return run(*inputs, out / "gguf", out / "parity.json", json.dumps(settings))


def test_the_file_is_described_sealed_and_close_to_what_was_tuned(
    inputs: Inputs, tmp_path: Path
) -> None:
    model = _run(inputs, tmp_path)
    base, adapter = (ModelRef.read(folder / "model.json") for folder in inputs[:2])
    assert ModelRef.verified(tmp_path / "gguf") == model
    assert model.file == "Tiny-Llama.Q8_0.gguf"
    assert model.format == "gguf" and model.quantization == "Q8_0"
    assert (model.base_digest, model.adapter_digest) == (base.digest, adapter.digest)
    assert model.template_digest == base.template_digest
    assert sorted(path.name for path in (tmp_path / "gguf").iterdir()) == [
        "Tiny-Llama.Q8_0.gguf",
        "manifest.json",
        "model.json",
    ]
    parity = Parity.read(tmp_path / "parity.json")
    assert parity.passed and parity.token_agreement == 1.0 and parity.rows == 6
    assert parity.model_digest == digest_file(tmp_path / "gguf" / model.file)
    assert [made.name for made in parity.comparisons] == ["merge", "conversion", "quantization"]
    kl = {made.name: made.kl for made in parity.comparisons}
    assert kl["merge"] is not None and kl["merge"] < 1e-8
    assert kl["conversion"] is not None and kl["conversion"] < 2e-5
    assert kl["quantization"] is not None and kl["conversion"] < kl["quantization"] < 0.01


def test_the_file_names_the_teacher_and_the_start_of_what_was_tuned(
    inputs: Inputs, tmp_path: Path
) -> None:
    adapter = Path(shutil.copytree(inputs.adapter, tmp_path / "adapter"))
    tuned = ModelRef.read(adapter / "model.json")
    taught = replace(tuned, teacher_digest=digest_bytes(b"t"), start_digest=digest_bytes(b"s"))
    taught.write(adapter / "model.json")
    Manifest.seal(adapter)
    model = _run(inputs._replace(adapter=adapter), tmp_path, type="F16")
    assert (model.teacher_digest, model.start_digest) == (
        taught.teacher_digest,
        taught.start_digest,
    )
    assert model.teacher_digest and model.start_digest


@pytest.mark.parametrize(
    "settings",
    [
        {"types": ["Q8_0", "Q6_K"], "max_kl": 0.1, "max_perplexity_change": 0.5},
        {"adapter_only": True},
    ],
)
def test_a_model_that_learnt_plain_text_is_compared_on_it(
    inputs: Inputs, tmp_path: Path, settings: dict[str, object]
) -> None:
    from tests.fakes import tiny_model

    tiny_model.make_dataset(tmp_path / "text", kind="text")
    given = {"min_agreement": 0.4, "min_conversion_agreement": 0.9, "importance_rows": 4}
    _run(inputs._replace(dataset=tmp_path / "text"), tmp_path, **given, **settings)
    parity = Parity.read(tmp_path / "parity.json")
    assert (parity.rows, parity.token_agreement) == (6, 1.0)
    # Six texts of some thirty letters that differ in a number and in what follows it.
    assert all(made.positions > 60 for made in parity.comparisons)


def test_a_server_that_only_renders_can_be_closed_at_once(inputs: Inputs, tmp_path: Path) -> None:
    from wherry.quantize.adapters.llamacpp import GgufRenderer

    file = tmp_path / "gguf" / _run(inputs, tmp_path).file

    # xllamacpp's server waits for ever when it is dropped before its loop runs: one in some tens.
    def close_many() -> None:
        for _ in range(30):
            GgufRenderer(file).close()

    closing = threading.Thread(target=close_many, daemon=True)
    closing.start()
    closing.join(120)
    assert not closing.is_alive()


def test_the_same_inputs_give_the_same_file(inputs: Inputs, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert _run(inputs, first).digest == _run(inputs, second).digest


@pytest.mark.parametrize(
    ("kind", "limits"), [("F16", {}), ("Q6_K", {}), ("Q4_K_M", {"min_agreement": 0.4})]
)
def test_other_types_are_made_and_held_to_their_own_limits(
    inputs: Inputs, tmp_path: Path, kind: str, limits: dict[str, float]
) -> None:
    model = _run(inputs, tmp_path, type=kind, **limits)
    assert model.quantization == kind and model.file.endswith(f".{kind}.gguf")


def test_a_file_that_is_too_far_off_is_refused_and_not_published(
    inputs: Inputs, tmp_path: Path
) -> None:
    with pytest.raises(ParityError, match=r"quantization: llama\.cpp, Q4_0"):
        _run(inputs, tmp_path, type="Q4_0", max_kl=1e-6)
    assert not Parity.read(tmp_path / "parity.json").passed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parity.json"]


def test_keys_and_queries_left_in_transformers_order_are_found_out(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wherry.quantize import families

    monkeypatch.setattr(families, "pair_rows", lambda weights, heads: weights)
    with pytest.raises(ParityError, match="conversion"):
        _run(inputs, tmp_path)
    parity = Parity.read(tmp_path / "parity.json")
    conversion = parity.find("conversion")
    assert conversion is not None and conversion.kl is not None and conversion.kl > 0.01


def test_an_adapter_of_another_base_is_refused(
    inputs: Inputs, other_base: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(DigestError, match="trained on a base of digest"):
        _run(inputs._replace(base=other_base(seed=5)), tmp_path)


def test_a_bit_flipped_in_the_adapter_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    copy = tmp_path / "adapter"
    shutil.copytree(inputs.adapter, copy)
    weights = copy / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DigestError, match=r"adapter_model\.safetensors has digest"):
        _run(inputs._replace(adapter=copy), tmp_path)


def test_a_split_that_is_not_there_is_named(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no split 'dev', only train, eval, test"):
        _run(inputs, tmp_path, split="dev")


def test_no_row_is_read_that_nobody_asked_for(tmp_path: Path) -> None:
    from tests.fakes import tiny_model
    from wherry.quantize.inputs import Rows
    from wherry.quantize.settings import QuantizeSettings

    tiny_model.make_dataset(tmp_path / "data")
    for split in ("train", "eval"):
        with (tmp_path / f"data/{split}.jsonl").open("ab") as file:
            file.write(b"not a row\n")
    Manifest.seal(tmp_path / "data")
    rows = Rows.verified(
        tmp_path / "data", QuantizeSettings(type="Q6_K", rows=2, task_rows=4, importance_rows=3)
    )
    assert (len(rows.compared), len(rows.scored), len(rows.weighed)) == (2, 4, 3)


def test_a_split_without_rows_proves_nothing(inputs: Inputs, tmp_path: Path) -> None:
    from tests.fakes import tiny_model

    tiny_model.make_dataset(tmp_path / "empty", rows=0)
    with pytest.raises(ParityError, match="nothing was compared"):
        _run(inputs._replace(dataset=tmp_path / "empty"), tmp_path)


def test_an_architecture_that_cannot_be_written_is_named(
    inputs: Inputs, other_base: Callable[..., Path], tmp_path: Path
) -> None:
    base = other_base(architecture="falcon")
    with pytest.raises(FormatError, match=r"'falcon' cannot be written.*one of: llama"):
        _run(inputs._replace(base=base), tmp_path)


def test_a_base_without_its_gguf_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    base = _changed_base(inputs, tmp_path, lambda folder: (folder / "source.gguf").unlink())
    with pytest.raises(FormatError, match="holds 0 GGUF files"):
        _run(inputs._replace(base=base), tmp_path)


def test_a_template_that_training_did_not_use_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        path = folder / "source.gguf"
        path.write_bytes(path.read_bytes().replace(b"<|im_end|>' + '\n'", b"<|im_end|>' + ' '"))

    with pytest.raises(TemplateError, match="embeds a chat template"):
        _run(inputs._replace(base=_changed_base(inputs, tmp_path, change)), tmp_path)


def test_an_adapter_that_is_not_finite_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    copy = tmp_path / "adapter"
    shutil.copytree(inputs.adapter, copy)
    weights = copy / "adapter_model.safetensors"
    tensors = {name: np.full_like(values, np.nan) for name, values in load_file(weights).items()}
    save_file(tensors, weights)
    _reseal(copy)
    with pytest.raises(FormatError, match="cannot be merged"):
        _run(inputs._replace(adapter=copy), tmp_path)


def _ladder(inputs: Inputs, out: Path, **settings: object) -> Ladder:
    told = json.dumps({"speed_runs": 1, "task_rows": 6, **settings})
    run(*inputs, out / "gguf", out / "parity.json", told, out / "ladder.json")
    return Ladder.read(out / "ladder.json")


def test_of_several_types_the_smallest_that_passes_is_shipped_and_all_are_told(
    inputs: Inputs, tmp_path: Path
) -> None:
    kinds = ["F16", "Q8_0", "Q5_K_M", "Q4_0"]
    ladder = _ladder(inputs, tmp_path, types=kinds, max_kl=0.01, importance_rows=3)
    assert [rung.type for rung in ladder.rungs] == kinds
    assert [rung.passed for rung in ladder.rungs] == [True, True, False, False]
    assert ladder.picked == "Q8_0" and ladder.importance_digest is not None
    assert [rung.size for rung in ladder.rungs] == sorted(
        (rung.size for rung in ladder.rungs), reverse=True
    )
    kl = [rung.kl or 0 for rung in ladder.rungs]
    assert kl == sorted(kl)
    shipped = ModelRef.verified(tmp_path / "gguf")
    rung = ladder.find("Q8_0")
    assert rung is not None
    assert (shipped.digest, shipped.size, shipped.file) == (rung.digest, rung.size, rung.file)
    assert Parity.read(tmp_path / "parity.json").model_digest == rung.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gguf",
        "ladder.json",
        "parity.json",
    ]


def test_each_rung_has_quality_task_scores_speed_and_memory(inputs: Inputs, tmp_path: Path) -> None:
    ladder = _ladder(inputs, tmp_path, types=["F16", "Q8_0"])
    assert ladder.reference == "unquantized F16 GGUF"
    assert ladder.reference_perplexity is not None
    for rung in ladder.rungs:
        assert rung.perplexity == pytest.approx(ladder.reference_perplexity, rel=0.02)
        assert [(score.name, score.n) for score in rung.scores] == [("exact_match", 6)]
        assert rung.decode_speed is not None and rung.decode_speed > 0
        assert rung.first_token is not None and rung.first_token > 0
        assert rung.peak_memory is not None and rung.peak_memory > 10_000_000
        assert rung.seconds > 0


def test_a_type_that_is_picked_by_name_ships_alone(inputs: Inputs, tmp_path: Path) -> None:
    ladder = _ladder(
        inputs, tmp_path, types=["Q4_0", "Q8_0", "Q6_K"], pick="Q8_0", speed_runs=0, task_rows=0
    )
    assert ladder.picked == "Q8_0"
    assert ModelRef.verified(tmp_path / "gguf").quantization == "Q8_0"


def test_if_no_type_passes_nothing_ships_and_each_reason_is_told(
    inputs: Inputs, tmp_path: Path
) -> None:
    with pytest.raises(ParityError, match=r"None of 2 types passes\. Q4_0: .*\. Q4_1: "):
        _ladder(inputs, tmp_path, types=["Q4_0", "Q4_1"], max_kl=0.001, speed_runs=0)
    ladder = Ladder.read(tmp_path / "ladder.json")
    assert ladder.picked == "" and not any(rung.passed for rung in ladder.rungs)
    assert not Parity.read(tmp_path / "parity.json").passed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ladder.json", "parity.json"]


def test_an_importance_matrix_makes_a_file_that_is_closer_and_as_small(
    inputs: Inputs, tmp_path: Path
) -> None:
    loose: dict[str, object] = {"type": "Q4_0", "max_kl": 9, "min_agreement": 0}
    plain = _ladder(inputs, tmp_path / "plain", **loose, importance_rows=0).rungs[0]
    weighed = _ladder(inputs, tmp_path / "weighed", **loose).rungs[0]
    assert weighed.size == plain.size and weighed.digest != plain.digest
    assert weighed.kl is not None and plain.kl is not None and weighed.kl < plain.kl


def test_a_base_whose_gguf_is_cut_short_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    def change(folder: Path) -> None:
        path = folder / "source.gguf"
        path.write_bytes(path.read_bytes()[:-4096])

    with pytest.raises(FormatError, match=r"source\.gguf is not a whole GGUF file"):
        _run(inputs._replace(base=_changed_base(inputs, tmp_path, change)), tmp_path)


def _changed_base(inputs: Inputs, tmp_path: Path, change: Callable[[Path], object]) -> Path:
    copy = tmp_path / "base"
    shutil.copytree(inputs.base, copy)
    change(copy)
    _reseal(copy)
    return copy


def _reseal(folder: Path) -> None:
    from dataclasses import replace

    model = ModelRef.read(folder / "model.json")
    replace(model, digest=digest_file(folder / model.file)).write(folder / "model.json")
    Manifest.seal(folder)
