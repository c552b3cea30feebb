"""Runs lm-evaluation-harness on a model that is asked in tokens.

https://github.com/EleutherAI/lm-evaluation-harness, MIT licence.
"""

import logging
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import datasets
import jinja2
import lm_eval
import msgspec
import numpy as np
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import aggregation_registry
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from wherry.contracts import Message, digest_bytes
from wherry.contracts.errors import MissingError, SettingsError, WherryError
from wherry.evaluate.benchmarks.adapters.tasks import leaves, local_tasks, task_folders
from wherry.evaluate.benchmarks.adapters.unfetched import nothing_fetched
from wherry.evaluate.benchmarks.settings import BenchmarkSettings
from wherry.evaluate.benchmarks.step import (
    Measured,
    Outcome,
    Question,
    figure,
    group_figure,
)
from wherry.evaluate.memory import Answers, Memory
from wherry.evaluate.raw.step import Pair, RawModel, Scored, Tokens, check_room
from wherry.progress import Report

_BATCH: Final = 128
"""Requests that are answered, and remembered, together. What a model says of one may hang on the
others by rounding: batches are the same in a run that was killed and went on."""
_ODD: Final = (
    *(TypeError, ValueError, AssertionError, AttributeError),
    *(IndexError, StopIteration, ArithmeticError),
)
"""What comes of task files, and of the Python beside them, that do not fit their data."""
Row = dict[str, Any]
"""What the harness logs of one question."""


class LmEvalHarness:
    """Implements `wherry.evaluate.benchmarks.step.Harness`.

    Args:
        model: what is asked.
        memory: keeps its answers.
        settings: which tasks, and how.
        tasks: a folder of a team's own task files, or None.
        data: a folder with the tasks' data, or None for where the tasks say; see `local_tasks`.
        scratch: a folder for what reading the data leaves behind.
    """

    def __init__(
        self,
        model: RawModel,
        memory: Memory,
        settings: BenchmarkSettings,
        *,
        tasks: Path | None,
        data: Path | None,
        scratch: Path,
    ) -> None:
        self._model = model
        self._memory = memory
        self._settings = settings
        self._tasks = tasks
        self._data = data
        self._scratch = scratch

    def measure(self, report: Report) -> Measured:
        """Asks every question of every task."""
        # For Python that stands beside task files: the harness itself draws from a seed of its own.
        random.seed(self._settings.seed)
        np.random.seed(self._settings.seed)
        with _quiet(), _explained(), nothing_fetched():
            manager = self._manager()
            loaded = manager.load(list(self._settings.tasks))
            for name, task in loaded["tasks"].items():
                _check(name, task)
                self._set_shots(task)
            found = lm_eval.evaluate(
                _Asked(self._model, self._memory, report),
                loaded,
                limit=self._settings.rows or None,
                bootstrap_iters=0,
                apply_chat_template=self._settings.chat,
                fewshot_as_multiturn=True,
            )
            return self._measured(found["samples"], loaded, self._named(manager.task_index))

    def _manager(self) -> TaskManager:
        """Gives the harness's index of tasks, which read their data where it is."""
        names = self._settings.tasks
        folders = task_folders(names, self._tasks)
        manager = TaskManager(include_defaults=not folders, include_path=folders or None)
        wanted = [leaf for name in names for leaf in leaves(name, manager.task_index)]
        if self._data is not None:
            index, made = manager.task_index, self._scratch / "tasks"
            local_tasks(wanted, index, self._data, made, shots=self._settings.shots)
            manager = TaskManager(include_defaults=not folders, include_path=[*folders, made])
        return manager

    def _named(self, index: Mapping[str, Any]) -> list[str]:
        """Gives the tasks and groups that were asked for; a tag has no figure, but its tasks do."""
        return [
            part
            for name in self._settings.tasks
            for part in ([name] if index[name].yaml_path else leaves(name, index))
        ]

    def _set_shots(self, task: Any) -> None:
        said = task.get_config("num_fewshot")
        if said is None or (said and self._settings.shots >= 0):
            task.set_config(key="num_fewshot", value=max(0, self._settings.shots))
        task.set_fewshot_seed(seed=self._settings.seed)

    def _measured(
        self, samples: Mapping[str, list[Row]], loaded: Any, names: Sequence[str]
    ) -> Measured:
        found = {
            name: self._outcome(name, rows, loaded["tasks"][name]) for name, rows in samples.items()
        }
        for name, group in loaded["groups"].items():
            found[name] = _group(group, found)
        questions = [
            _question(name, row)
            for name, rows in samples.items()
            for row in rows
            # An answer that several filters read is one answer.
            if row["filter"] == rows[0]["filter"]
        ]
        outcomes = tuple(found[name] for name in names)
        return Measured(outcomes, tuple(questions), f"lm-eval {version('lm_eval')}")

    def _outcome(self, name: str, rows: list[Row], task: Any) -> Outcome:
        figures = []
        for metric, filter_ in dict.fromkeys(
            (m, row["filter"]) for row in rows for m in row["metrics"]
        ):
            values = [row[metric] for row in rows if row["filter"] == filter_ and metric in row]
            aggregate = task.aggregation()[metric]
            made = figure(
                metric if filter_ == "none" else f"{metric}_{filter_}",
                _number(aggregate(values)),
                values,
                aggregate,
                resamples=self._settings.resamples,
                seed=self._settings.seed,
            )
            figures.append(made)
        return Outcome(name, tuple(figures))


class _Asked(TemplateLM):  # type: ignore[misc]  # the harness has no types
    """The harness's view of a model."""

    def __init__(self, model: RawModel, memory: Memory, report: Report) -> None:
        super().__init__()
        self._model = model
        self._memory = memory
        self._report = report

    @property
    def eot_token_id(self) -> int:
        return self._model.start

    @property
    def tokenizer_name(self) -> str:
        return self._model.template_digest.replace(":", "-")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: Any
    ) -> list[int]:
        return list(self._encoded(string, special=add_special_tokens is not False))

    def _encoded(self, text: str, *, special: bool = True) -> Tokens:
        """Tokenizes as the harness does: a text that begins as texts begin gets no second start."""
        plain = self._model.tokens(text, special=False)
        if not special or plain[:1] == (self._model.start,):
            return plain
        return self._model.tokens(text)

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        turns = [msgspec.convert(turn, Message) for turn in chat_history]
        return self._model.render(turns, open_turn=add_generation_prompt)

    def loglikelihood(self, requests: Any) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        return [
            (scored.logprob, scored.greedy)
            for scored in self._score([(tuple(one[1]), tuple(one[2])) for one in requests])
        ]

    def loglikelihood_rolling(self, requests: Any) -> list[float]:
        windows = [self._windows(request.args[0]) for request in requests]
        scored = iter(self._score([pair for pairs in windows for pair in pairs]))
        return [sum(next(scored).logprob for _ in pairs) for pairs in windows]

    def _windows(self, text: str) -> list[Pair]:
        windows = get_rolling_token_windows(
            token_list=list(self._encoded(text)),
            prefix_token=self._model.start,
            # The first window is one token longer with its prefix.
            max_seq_len=self._model.context - 1,
            context_len=1,
        )
        pairs = map(make_disjoint_window, windows)
        return [(tuple(context), tuple(rest)) for context, rest in pairs]

    def generate_until(self, requests: Any) -> list[str]:
        groups: dict[str, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(msgspec.json.encode(request.args[1]).decode(), []).append(number)
        found: dict[int, str] = {}
        for numbers in groups.values():
            prompts = [self._encoded(requests[number].args[0]) for number in numbers]
            options = normalize_gen_kwargs(requests[numbers[0]].args[1])
            found.update(zip(numbers, self._complete(prompts, options), strict=True))
        return [found[number] for number in range(len(requests))]

    def _score(self, pairs: Sequence[Pair]) -> list[Scored]:
        """Scores each distinct pair once, in batches that the memory keeps."""
        check_room([len(context) + len(rest) for context, rest in pairs], self._model.context)
        # Sorted, so that what begins alike stands together: engines compute that once.
        distinct = sorted(set(pairs))
        found: dict[Pair, Scored] = {}
        for batch in _batches(distinct):
            scored = self._remembered("score", batch, lambda batch=batch: self._fresh(batch))
            found.update(zip(batch, (Scored(*each) for each in scored), strict=True))
            self._report.progress(len(found), len(distinct), "answers scored")
        return [found[pair] for pair in pairs]

    def _fresh(self, pairs: Sequence[Pair]) -> Answers:
        return [(each.logprob, each.greedy) for each in self._model.score(pairs, _Nobody())]

    def _complete(self, prompts: Sequence[Tokens], options: Any) -> list[str]:
        if options["do_sample"]:
            raise SettingsError(
                "A task samples its answers, and only greedy answers are the same again.",
                remedy="Set do_sample: false in its generation_kwargs.",
            )
        limit = {"max_tokens": options["max_gen_toks"], "stop": tuple(options["until"])}
        distinct = sorted(set(prompts))
        found: dict[Tokens, str] = {}
        for batch in _batches(distinct):
            texts = self._remembered(
                f"complete {limit}",
                batch,
                lambda batch=batch: self._model.complete(batch, **limit, report=_Nobody()),
            )
            found.update(zip(batch, texts, strict=True))
            self._report.progress(len(found), len(distinct), "answers written")
        return [found[prompt] for prompt in prompts]

    def _remembered(self, what: str, batch: Any, answer: Any) -> Any:
        key = digest_bytes(msgspec.json.encode([what, batch]))
        known = self._memory.recall(key)
        if known is None:
            known = list(answer())
            self._memory.keep(key, known)
        return known


class _Nobody:
    """A report that nobody reads: of a batch's parts."""

    def progress(self, done: float, total: float, note: str = "") -> None:
        pass

    def verdict(self, text: str) -> None:
        pass


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leaves progress and verdicts to the stage, for the harness and datasets write much."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    shown = datasets.utils.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if shown:
            datasets.enable_progress_bars()


def _check(name: str, task: Any) -> None:
    """Refuses, before hours of questions, what the harness finds out behind them or never."""
    if getattr(task, "UNSAFE_CODE", False):
        raise SettingsError(
            f"The task {name!r} runs the programs that the model writes (unsafe_code).",
            remedy="Leave it out; what a model writes is never run here.",
        )
    for metric, aggregate in task.aggregation().items():
        if not callable(aggregate):
            raise SettingsError(
                f"The task {name!r} puts {metric!r} together by an aggregation that there is not.",
                remedy=f"Name one of {', '.join(sorted(aggregation_registry))}.",
            )


@contextmanager
def _explained() -> Iterator[None]:
    """Makes of what the harness and datasets raise what a person should read.

    Where the text of an error may quote the data it stays out, and in the traceback.
    """
    try:
        yield
    except WherryError:
        raise
    except (FileNotFoundError, ConnectionError) as error:
        raise _unreadable(str(error)) from error
    except datasets.exceptions.DatasetsError as error:
        raise _unreadable(type(error).__name__) from error
    except (KeyError, ImportError, jinja2.TemplateError) as error:
        raise _unusable(f"{type(error).__name__}: {error}") from error
    except _ODD as error:
        raise _unusable(f"{type(error).__name__}, which --debug shows") from error


def _unreadable(reason: str) -> MissingError:
    return MissingError(
        f"The data of a benchmark task cannot be read: {reason}.",
        remedy="Hand data over: a folder with each task's data, or copies of the hub's data sets.",
    )


def _unusable(reason: str) -> SettingsError:
    return SettingsError(
        f"The harness cannot run the tasks: {reason}.",
        remedy="Correct the task files, or the data that does not have their columns; name a task "
        "once, by itself or in a group.",
    )


def _group(group: Any, found: Mapping[str, Outcome]) -> Outcome:
    members = [found[task.task_name] for task in group.get_all_tasks()]
    figures = []
    for wanted in group.aggregate_metric_list or []:
        parts = [each for part in members for each in part.figures if each.name == wanted.metric]
        if len(parts) == len(members):
            figures.append(group_figure(wanted.metric, parts, by_size=wanted.weight_by_size))
    return Outcome(group.name, tuple(figures), tuple(members))


def _number(value: Any) -> float | None:
    """Gives a finite number, or None for anything else."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _question(task: str, row: Row) -> Question:
    values = {name: row[name] for name in row["metrics"]}
    first = next(iter(values.values()), None)
    answer, picked = _answers(row)
    return Question(
        id=f"{task}/{row['doc_id']}",
        label=str(row["target"]),
        answer=answer,
        label_pick=picked,
        correct=first in (1, True),
        document=row["doc_hash"],
        prompt=row["prompt_hash"],
        slices=(f"task={task}",),
        values={name: float(value) for name, value in values.items() if _number(value) is not None},
    )


def _answers(row: Row) -> tuple[str, str]:
    """Gives what the model answered, plainly and with each choice's length counted out."""
    given = row["filtered_resps"]
    if not given or not isinstance(given[0], (tuple, list)):
        text = str(given[0]) if given else ""
        return text, text
    # Behind the choices stand, for this figure, the same ones without the question.
    choices = len(given) // (2 if "acc_mutual_info" in row["metrics"] else 1)
    scores = [score for score, _ in given[:choices]]
    # The harness counts a choice without the space that parts it from the question.
    asked = row["arguments"][:choices]
    lengths = [max(1, len(rest.removeprefix(" "))) for _, rest, *_ in asked]
    normed = [score / length for score, length in zip(scores, lengths, strict=True)]
    return str(scores.index(max(scores))), str(normed.index(max(normed)))
