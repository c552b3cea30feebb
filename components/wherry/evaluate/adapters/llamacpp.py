"""Asks a GGUF file through llama.cpp's server, as serving does, and measures what that costs."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec

from wherry import llama_server
from wherry.contracts import Digest, Message, digest_bytes
from wherry.contracts.errors import DataError, TemplateError
from wherry.evaluate.step import Answer, Speed, label_tokens
from wherry.gguf_template import chat_template
from wherry.llama_server import LocalServer
from wherry.progress import Report

Json = dict[str, Any]
Tokens = tuple[int, ...]
Ask = Callable[..., Json]
"""Takes llama.cpp's options and gives what it says of the first token that it then chooses."""

_SEEN: Final = 2048
"""Most probable tokens asked for with each answer. A label that is not among them costs two more
requests: of 105 rows with 21 labels, 90 needed them at 64, 10 at 512, none at 2048, which answered
10 rows a second instead of 6."""
_PUSH: Final = 1000.0
"""Added to the logits of tokens that must come out; raw logits differ by far less."""
_VANISHED: Final = 1e-45
"""The smallest share that float32 holds."""
_VOCABULARY: Final = 1 << 20
"""More tokens than any vocabulary has."""


class LlamaCppAnswerer:
    """Implements `Answerer` on one GGUF file.

    Args:
        file: the model.
        max_new_tokens: the longest free answer.
        slots: rows answered at once.
        context: room for each row's prompt and answer, in tokens.
        threads: CPU threads; 0 for all that this process may use.

    Raises:
        FormatError: if llama.cpp cannot load the file.
    """

    def __init__(
        self, file: Path, *, max_new_tokens: int, slots: int, context: int, threads: int
    ) -> None:
        self._file = file
        self._server = _Server(file, slots=slots, context=context, threads=threads)
        self._max_new_tokens = max_new_tokens
        self._slots = slots
        self._context = context
        self._plain = self._server.tokens("a")[-1]

    @property
    def engine(self) -> str:
        """``llama.cpp``."""
        return "llama.cpp"

    @property
    def template_digest(self) -> Digest:
        """Of the template that the file embeds."""
        return digest_bytes(chat_template(self._file).encode())

    def answer(
        self, prompts: Sequence[Sequence[Message]], labels: Sequence[str], report: Report
    ) -> Sequence[Answer]:
        """Answers every prompt and scores every label; see `wherry.evaluate.step.Answerer`."""
        if not prompts:
            return []
        tokens = label_tokens(self._server.tokens, self._server.render(prompts[0]), labels)
        answers = []
        with ThreadPoolExecutor(self._slots) as pool:
            for answer in pool.map(lambda prompt: self._answer(prompt, tokens), prompts):
                answers.append(answer)
                report.progress(len(answers), len(prompts), "rows answered")
        return answers

    def _answer(self, prompt: Sequence[Message], labels: Sequence[Tokens]) -> Answer:
        def ask(**options: Any) -> Json:
            return self._server.chat(prompt, max_tokens=1, **options)

        reply = self._server.chat(prompt, max_tokens=self._max_new_tokens, n_probs=_SEEN)
        self._check_room(reply)
        starts = _next_scores(ask, {label[0] for label in labels}, reply, self._plain)
        rest = self._continuations(prompt, labels)
        scores = (
            starts[label[0]] + sum(rest[label[:end]][label[end]] for end in range(1, len(label)))
            for label in labels
        )
        said = reply["choices"][0]
        cut = said["finish_reason"] == "length"
        return Answer(said["message"]["content"] or "", tuple(scores), cut)

    def _check_room(self, reply: Json) -> None:
        used = reply["usage"]["prompt_tokens"]
        if used + self._max_new_tokens > self._context:
            raise DataError(
                f"A prompt of {used} tokens and an answer of {self._max_new_tokens} do not fit "
                f"the context of {self._context}.",
                remedy="Raise context in the settings of evaluate, or shorten the row.",
            )

    def _continuations(
        self, prompt: Sequence[Message], labels: Sequence[Tokens]
    ) -> dict[Tokens, dict[int, float]]:
        """Scores the later tokens of labels that have more than one, by what precedes them."""
        wanted: dict[Tokens, set[int]] = {}
        for label in labels:
            for end in range(1, len(label)):
                wanted.setdefault(label[:end], set()).add(label[end])
        if not wanted:
            return {}
        start = self._server.tokens(self._server.render(prompt))
        found = {}
        for prefix, tokens in wanted.items():

            def ask(prefix: Tokens = prefix, **options: Any) -> Json:
                return self._server.complete(start + prefix, max_tokens=1, **options)

            found[prefix] = _next_scores(ask, tokens, ask(n_probs=_SEEN), self._plain)
        return found


def _next_scores(ask: Ask, tokens: set[int], reply: Json, plain: int) -> dict[int, float]:
    """Gives log P of each token as the next one.

    Args:
        ask: asks again in the same place.
        tokens: whose probabilities are wanted.
        reply: what was answered there, with its most probable tokens.
        plain: a token of whole characters.
    """
    likely = _listed(reply, "logprob")
    if tokens <= likely.keys():
        return {token: likely[token] for token in tokens}
    return _pushed_scores(ask, tokens) or _all_scores(ask, tokens, plain)


def _pushed_scores(ask: Ask, tokens: set[int]) -> dict[int, float]:
    """Scores tokens however improbable, without listing the whole vocabulary.

    Pushed equally far up they alone are left after sampling, in their own proportions; the
    likeliest, pushed alone, comes with its probability before the push.

    Returns:
        Nothing if llama.cpp does not list them: they are parts of characters.
    """
    shares = _listed(
        ask(
            logit_bias=[[token, _PUSH] for token in sorted(tokens)],
            n_probs=len(tokens),
            post_sampling_probs=True,
            temperature=1.0,
            samplers=[],
        ),
        "prob",
    )
    best = max(shares, key=lambda token: shares[token], default=-1)
    anchor = _listed(ask(logit_bias=[[best, _PUSH]], n_probs=1), "logprob", chosen=True)
    if shares.keys() != tokens or best not in anchor:
        return {}
    # A share that vanished in float32 is 100 nats or more away: the smallest stands for it.
    return {
        token: anchor[best] + math.log(max(share, _VANISHED) / shares[best])
        for token, share in shares.items()
    }


def _all_scores(ask: Ask, tokens: set[int], plain: int) -> dict[int, float]:
    """Scores tokens by listing the whole vocabulary: seconds, but for any token."""
    every = _listed(ask(logit_bias=[[plain, _PUSH]], n_probs=_VOCABULARY), "logprob")
    return {token: every[token] for token in tokens}


def _listed(reply: Json, key: str, *, chosen: bool = False) -> dict[int, float]:
    """Gives what a reply says of the tokens that could come first, or nothing.

    llama.cpp leaves out tokens that end amid a character, so that the first one listed is
    not the first one chosen; only a complete list can be trusted.

    Args:
        reply: llama.cpp's.
        key: ``logprob``, or ``prob`` after sampling.
        chosen: whether to give the chosen token alone, which may be far down the list.
    """
    steps: list[Json] = (reply["choices"][0].get("logprobs") or {}).get("content") or []
    if not steps or len(steps) != reply["usage"]["completion_tokens"]:
        return {}
    first = steps[0]
    tops = [first] if chosen else first.get("top_logprobs") or first["top_probs"]
    return {top["id"]: float(top[key]) for top in tops}


class _Server(LocalServer):
    """llama.cpp's server in this process."""

    def chat(self, messages: Sequence[Message], **options: Any) -> Json:
        """Answers a conversation, greedily unless the options say otherwise."""
        body = {
            "messages": [msgspec.structs.asdict(m) for m in messages],
            "temperature": 0.0,
            **options,
        }
        if "n_probs" in body:
            body["logprobs"], body["top_logprobs"] = True, body.pop("n_probs")
        return self._called(self.engine.handle_chat_completions, body)

    def complete(self, tokens: Tokens, **options: Any) -> Json:
        """Goes on from tokens, greedily unless the options say otherwise."""
        body = {"prompt": list(tokens), "temperature": 0.0, **options}
        return self._called(self.engine.handle_completions, body)

    @staticmethod
    def _called(handle: Callable[[Json], Json], body: Json) -> Json:
        try:
            reply = handle(body)
        except (ValueError, RuntimeError) as error:
            raise TemplateError(
                f"llama.cpp cannot render a row with the file's chat template: {error}.",
                remedy="Use roles that the template knows.",
            ) from error
        if "error" in reply:
            raise DataError(
                f"llama.cpp refused a row: {reply['error']['message']}.",
                remedy="Raise context in the settings of evaluate, or shorten the row.",
            )
        return reply


def measure(
    file: Path, prompts: Sequence[Sequence[Message]], *, context: int, threads: int
) -> Speed:
    """Measures a GGUF file's speed and memory in a fresh process that does nothing else.

    Args:
        file: the model.
        prompts: one a run; each answer starts with nothing cached.
        context: of the one slot, in tokens.
        threads: CPU threads; 0 for all that this process may use.

    Returns:
        Times of each run. The memory is that of the whole process: Python, llama.cpp, the
        weights that were touched, the cache of one slot.

    Raises:
        FormatError: if the process fails.
    """
    requests = [{"messages": [*map(msgspec.structs.asdict, prompt)]} for prompt in prompts]
    cost = llama_server.measure(file, requests, context=context, threads=threads)
    return Speed(cost.first_token, cost.decode_speed, cost.peak_memory)
