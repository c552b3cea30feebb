"""Finds what a text says to the model rather than to a reader: control tokens, injected orders.

Both look for known forms. A text without any is not thereby harmless: orders can be put in
words that nobody listed, in another language, or in an encoding.
"""

import re
import unicodedata
from collections.abc import Callable, Collection
from typing import Final

import polars as pl

_UNSEEN: Final = r"[\u{ad}\u{200b}-\u{200f}\u{2060}-\u{2064}\u{feff}\u{180e}]"
"""Characters that show nothing: soft hyphen, zero-width spaces and joiners, byte order mark."""
_S: Final = r"[\s\u{2581}]*"

_TOKENS: Final = "|".join(
    (
        # ChatML, Llama 3, Phi, Qwen, GPT, Granite, DeepSeek: whatever stands between <| and |>.
        rf"<{_S}\|{_S}/?[a-z][a-z0-9_.:\u{{2581}} -]{{0,40}}{_S}\|{_S}>",
        # Gemma, BERT's and SentencePiece's names, tools and images of many families.
        rf"<{_S}/?{_S}(?:start_of_turn|end_of_turn|start_of_image|end_of_image|turn|bos|eos|pad|unk"
        rf"|mask|cls|sep|sop|eop|unused{_S}[0-9]+|extra_id_[0-9]+|fim_(?:prefix|middle|suffix)"
        rf"|tool_calls?|tool_response|im_start|im_end|endoftext|begin_of_text|eot_id){_S}>",
        # Llama 2, Mistral, GLM.
        rf"\[{_S}/?{_S}(?:inst|system_prompt|available_tools|tool_calls|tool_results|gmask)"
        rf"{_S}\]",
        rf"<<{_S}/?{_S}sys{_S}>>",
        r"</?s>",
    )
)
_BRACKET: Final = r"[<\[\u{ff1c}\u{fe64}\u{ff3b}]"
"""How a token starts; the last three are wide or small forms."""
_CONTROL_TOKENS: Final = f"(?i){_TOKENS}"

_W: Final = "(?:[^ ]+ )"
"""A word, in a text made plain: small letters, one blank where spaces and signs were."""
_INSTRUCTIONS: Final = (
    "(?:instruct[a-z]*|prompts?|rules?|directions?|directives?|guidelines?|commands?|context|"
    "programming|training)"
)
_ORDERS: Final = (
    rf"(?:ignore|disregard|forget|override|bypass|discard) {_W}{{0,3}}?(?:previous|prior|above|"
    rf"earlier|preceding|foregoing|former|existing|initial|original|system) {_W}?{_INSTRUCTIONS} ",
    rf"(?:ignore|disregard|forget) (?:all |any )?(?:of )?(?:your|the|these|those) {_INSTRUCTIONS} ",
    r"(?:ignore|disregard|forget) (?:everything|anything|all) (?:above|before|said|you|i) ",
    rf"you are now (?:an? |the |in |acting as |called |known as )?{_W}{{0,2}}?(?:dan|ai|[a-z]*gpt|"
    r"assistant|chatbot|bot|language model|jailbroken|unrestricted|uncensored|unfiltered|hacker|"
    r"persona|(?:developer|debug|admin|god) mode|free from|freed from|no longer bound) ",
    r"from now on you (?:are|will|must|act|answer|respond|have) ",
    r"system prompts? ",
    rf"(?:reveal|show|print|repeat|output|display|leak|tell me|give me|what (?:is|are)) "
    rf"{_W}{{0,2}}?"
    r"(?:your|hidden|secret|initial) (?:[^ ]+ )?(?:instructions|prompt|directives|guidelines) ",
    r"do anything now ",
    r"(?:jailbreak|jail break|dan mode|developer mode enabled|god mode|sudo mode|"
    r"unrestricted mode) ",
    rf"(?:pretend|act as if|imagine) {_W}{{0,2}}?you (?:have no|are not bound|are unrestricted|"
    r"do not have any|don t have any|no longer have) ",
    r"(?:end|begin|start|beginning) of (?:the )?(?:system )?(?:prompt|instructions) ",
    # The same in other tongues.
    rf"ignorier[a-z]* {_W}{{0,3}}?(?:vorherige[nr]?|bisherigen?|obigen?|vorigen?) "
    r"(?:anweisung|befehl|instruktion|regeln)",
    rf"ignor(?:e|ez|er) {_W}{{0,3}}?(?:instructions|consignes|règles) {_W}?"
    r"(?:précédentes|antérieures|ci dessus) ",
    rf"ignor(?:a|e|ar|en) {_W}{{0,3}}?(?:instrucciones|instruções|órdenes) {_W}?"
    r"(?:anteriores|previas|prévias) ",
    rf"ignora {_W}{{0,3}}?istruzioni {_W}?precedenti ",
)
_ORDER: Final = f" (?:{'|'.join(_ORDERS)})"
_HEADERS: Final = (
    r"(?im:^[\s#*>_-]*(?:system|developer)[\s*_]*(?:message|prompt|instructions?)?[\s*_]*:)",
    r"(?im:^\s*#{2,}\s*(?:instruction|response|system|assistant|user|human)s?\s*:?\s*$)",
    r"(?im:^\s*#{2,}\s*(?:instruction|response|system)s?\s*:)",
    r"(?i:[<\[]/?(?:system|assistant)(?:[ _-](?:message|prompt|instructions?))?[>\]])",
)
_HEADER: Final = "|".join(_HEADERS)
_ORDER_WORDS: Final = (
    "ignor", "disregard", "forget", "overrid", "bypass", "discard", "are now", "now on", "prompt",
    "anything now", "jail", "mode", "pretend", "act as if", "imagine", "instruct", "guideline",
    "directive",
)  # fmt: skip
"""What every order in words holds one of."""
_HEADER_WORDS: Final = ("system", "developer", "##", "<assistant", "</assistant", "[assistant")
_HIDDEN: Final = "|".join(
    (
        r"[\u{202d}\u{202e}\u{e0001}\u{e0020}-\u{e007f}]",
        r"[\u{e0100}-\u{e01ef}]{3}",
        r"[\u{fe00}-\u{fe0f}]{3}",
    )
)
"""What no reader sees: bidirectional overrides, tag characters, runs of variation selectors."""
_ODD: Final = (
    rf"{_UNSEEN}|[\u{{202a}}-\u{{202e}}\u{{fe00}}-\u{{fe0f}}\u{{e0000}}-\u{{e01ef}}"
    r"\u{ff21}-\u{ff3a}\u{ff41}-\u{ff5a}\u{249c}-\u{24e9}\u{1d400}-\u{1d7ff}\u{1f100}-\u{1f1ff}]"
)
"""Unseen characters, and letters that NFKC brings back to plain ones."""
_FLAG: Final = r"\u{1f3f4}[\u{e0020}-\u{e007e}]{2,6}\u{e007f}"
"""The flags of England and the like are the one honest use of tag characters (UTS 51)."""


def has_control_tokens(texts: pl.Series, tokens: Collection[str] = ()) -> pl.Series:
    """Says which texts hold a control token of a chat template.

    Known are the forms of ChatML and Qwen, Llama 2 and 3, Mistral, Gemma, Phi, GPT, DeepSeek, GLM,
    Granite and T5, in any case, with spaces or unseen characters within, in full-width letters.
    ``<s>`` and ``</s>`` count too, though HTML strikes text through with them. ``<think>`` does
    not, for an answer may rightly have it: hand it over in `tokens` where none may.

    Args:
        texts: without nulls.
        tokens: more of them, such as the base model's own special tokens.

    Returns:
        One truth value a text.
    """
    own = list(dict.fromkeys(filter(None, map(_plain, tokens))))
    loose = [token for token in own if not re.match(r"[<\[]", token)]
    rows = texts.str.contains(_BRACKET)
    if loose:
        rows |= texts.str.contains_any(loose, ascii_case_insensitive=True)
    return _judged(texts, rows, lambda part: _holds_token(part, own))


def _holds_token(texts: pl.Series, own: Collection[str]) -> pl.Series:
    plain = texts.str.replace_all(_UNSEEN, "").str.normalize("NFKC")
    found = plain.str.contains(_CONTROL_TOKENS)
    if own:
        found |= plain.str.replace_all(_S, "").str.to_lowercase().str.contains_any(list(own))
    return found


def _plain(token: str) -> str:
    return re.sub(r"[\s\u2581]", "", unicodedata.normalize("NFKC", token)).lower()


def has_injection(texts: pl.Series) -> pl.Series:
    """Says which texts give the model orders, or hide something from a reader.

    A list of known forms, not a guarantee: "ignore all previous instructions" and its kin in
    English, some of them in German, French, Spanish, Portuguese and Italian; questions for the
    system prompt; a line that starts with ``System:`` or ``### Instruction``; bidirectional
    overrides, tag characters and runs of variation selectors. A text *about* such orders counts.

    Args:
        texts: without nulls.

    Returns:
        One truth value a text.
    """
    return _judged(texts, _suspects(texts), _injects)


def _suspects(texts: pl.Series) -> pl.Series:
    words = [*_ORDER_WORDS, *_HEADER_WORDS]
    beyond_ascii = texts.str.len_bytes() != texts.str.len_chars()
    odd = _judged(texts, beyond_ascii, lambda some: some.str.contains(_ODD))
    # The gap of an order may be any space or sign: "now on" then has none of the words as listed.
    spaced = texts.str.contains(r"(?i)\b(?:are|now|anything|act)[\s[:punct:]]{2,}(?:now|on|as)\b")
    return texts.str.contains_any(words, ascii_case_insensitive=True) | odd | spaced


def _injects(texts: pl.Series) -> pl.Series:
    hidden = texts.str.replace_all(_FLAG, "").str.contains(_HIDDEN)
    shown = texts.str.replace_all(_UNSEEN, "").str.normalize("NFKC").str.to_lowercase()
    plain = pl.lit(" ") + pl.col("text").str.replace_all(r"[^\p{L}\p{N}]+", " ") + pl.lit(" ")
    orders = shown.to_frame("text").select(plain).to_series().str.contains(_ORDER)
    return hidden | orders | shown.str.contains(_HEADER)


def _judged(
    texts: pl.Series, rows: pl.Series, judge: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Gives a judge's word on the rows picked, and False on the others."""
    picked = rows.arg_true()
    verdicts = pl.repeat(False, len(texts), eager=True)
    return verdicts.scatter(picked, judge(texts.gather(picked))) if len(picked) else verdicts
