"""One process of `benchmarks/tune.py`: trains with one trainer, or measures what it made.

`python benchmarks/trainers.py TASK` takes a JSON object that says which, and prints what it took.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from wherry.tune.settings import TuneSettings

TARGETS: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def main(task: dict[str, Any]) -> None:
    """Does one task and prints what it took."""
    work = {"wherry": _wherry, "trl": _trl, "transformers": _transformers, "eval": _evaluated}
    with contextlib.redirect_stdout(sys.stderr):
        told = work[task["kind"]](task)
    print(json.dumps({**told, "peak": _peak()}))


def _peak() -> float:
    """Gives this process's largest resident set, in MiB."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def _timed(told: dict[str, float]) -> Iterator[None]:
    cpu, clock = time.process_time(), time.monotonic()
    yield
    told |= {"cpu": time.process_time() - cpu, "seconds": time.monotonic() - clock}


def _recipe(task: dict[str, Any]) -> TuneSettings:
    """Gives the recipe that all trainers follow; a peer takes from it what is not its default."""
    ours = task.get("settings", {}) if task["kind"] == "wherry" else {}
    own = {name: value for name, value in ours.items() if name != "shared"}
    given = {"rows": task["rows"], "threads": task["threads"], "targets": TARGETS}
    return TuneSettings(**{**given, **own})


def _wherry(task: dict[str, Any]) -> dict[str, float]:
    from wherry.progress import Silent
    from wherry.tune.adapters.pytorch import bench as room
    from wherry.tune.parts import Parts
    from wherry.tune.step import tune

    told: dict[str, float] = {}
    plain = not task["settings"].get("shared", True)
    nothing = patch.object(room, "shared_prefix", lambda _examples: 0)
    parts, recipe = (
        Parts.verified(Path(task["data"]), Path(task["base"]), None, None),
        _recipe(task),
    )
    with nothing if plain else contextlib.nullcontext(), room.open_bench(parts, recipe) as own:
        with _timed(told):
            tune(own.train, (), own.learner, recipe, Silent(), time.monotonic)
        own.learner.model.save(Path(task["adapter"]), str(task["base"]))
    return told


def _trl(task: dict[str, Any]) -> dict[str, float]:
    import torch
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(task["threads"])
    rows = []
    for example in _examples(task, "train")[: task["rows"]]:
        labels = [-100] * len(example.prompt) + list(example.completion)
        tokens = [*example.prompt, *example.completion]
        rows.append({"input_ids": tokens, "labels": labels})
    # Tokens are handed over as they are: all trainers see the same. A fingerprint is given, as
    # datasets 5.2 makes its own by pickling the table, which fails with pyarrow 26.
    table = Dataset(InMemoryTable.from_pylist(rows), fingerprint="rows")
    own = {"dataset_kwargs": {"skip_prepare_dataset": True}, "completion_only_loss": True}
    trainer = SFTTrainer(
        model=_loaded(task),
        args=SFTConfig(**_arguments(task), **own),
        train_dataset=table,
        processing_class=_tokenizer(task),
        peft_config=_lora(task),
    )
    return _trained(trainer, task)


def _transformers(task: dict[str, Any]) -> dict[str, float]:
    import torch
    from peft import get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    torch.set_num_threads(task["threads"])
    tokenizer = _tokenizer(task)
    rows = []
    for example in _examples(task, "train")[: task["rows"]]:
        labels = [-100] * len(example.prompt) + list(example.completion)
        tokens = [*example.prompt, *example.completion]
        rows.append({"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": labels})
    trainer = Trainer(
        model=get_peft_model(_loaded(task), _lora(task)),
        args=TrainingArguments(**_arguments(task)),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    )
    return _trained(trainer, task)


def _trained(trainer: Any, task: dict[str, Any]) -> dict[str, float]:
    told: dict[str, float] = {}
    with _timed(told):
        trainer.train()
    trainer.model.save_pretrained(task["adapter"])
    return told


def _arguments(task: dict[str, Any]) -> dict[str, Any]:
    """Gives what makes a peer learn the same; all else is its own default."""
    recipe = _recipe(task)
    return {
        "output_dir": task["adapter"],
        "per_device_train_batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": recipe.warmup,
        "num_train_epochs": recipe.epochs,
        "seed": recipe.seed,
        "save_strategy": "no",
        "report_to": "none",
        **task["settings"],
    }


def _lora(task: dict[str, Any]) -> Any:
    from peft import LoraConfig

    recipe = _recipe(task)
    own = {"r": recipe.rank, "lora_alpha": recipe.alpha, "target_modules": list(TARGETS)}
    return LoraConfig(task_type="CAUSAL_LM", **own)


def _loaded(task: dict[str, Any]) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(task["base"], dtype=torch.float32)


def _tokenizer(task: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(task["base"])


def _rows(task: dict[str, Any], split: Any) -> list[Any]:
    from wherry.contracts import Dataset
    from wherry.contracts.dataset import DATASET_NAME

    data = Path(task["data"])
    return Dataset.read(data / DATASET_NAME).rows(data, split)


def _examples(task: dict[str, Any], split: str) -> Sequence[Any]:
    from wherry.tune.adapters.pytorch.chat import FolderTokenizer
    from wherry.tune.examples import encode

    return encode(_rows(task, split), FolderTokenizer(Path(task["base"])), _recipe(task))[0]


def _evaluated(task: dict[str, Any]) -> dict[str, float]:
    """Takes the mean loss of the eval rows' completions, row by row, in float32."""
    import torch
    from peft import PeftModel
    from torch.nn import functional

    torch.set_num_threads(task["threads"])
    model = PeftModel.from_pretrained(_loaded(task), task["adapter"]).eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for example in _examples(task, "eval"):
            tokens = torch.tensor([[*example.prompt, *example.completion]])
            wanted = len(example.completion)
            logits = model(tokens).logits[0, -wanted - 1 : -1].float()
            total += float(functional.cross_entropy(logits, tokens[0, -wanted:], reduction="sum"))
            count += wanted
    return {"loss": total / count}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
