"""Settles with which token a model ends its turns: what tells every room that an answer is over.

A tokenizer names one token that ends a text, and a model may stop at others besides: Gemma's is
``<eos>``, its turns end with ``<end_of_turn>``. Rooms ask the tokenizer alone.
"""

from typing import Any, Final

from jinja2 import TemplateError as JinjaError

from wherry.contracts.errors import TemplateError

_ANSWER: Final = "Q7"
"""Letters that no template has behind an answer."""
_DEFAULT: Final = "default"
"""transformers' name of the template for plain conversations, where a model has several."""
_TURNS: Final = ({"role": "user", "content": "Q1"}, {"role": "assistant", "content": _ANSWER})


def end_turns_as_given(model: Any, tokenizer: Any, template: str) -> int | None:
    """Gives a model another chat template, and has it stop where that ends a turn.

    Args:
        model: its generation settings are changed.
        tokenizer: gets the template and the token.
        template: Jinja; empty for none.

    Returns:
        The token that ends a turn, or None where there is no template.

    Raises:
        TemplateError: if the template cannot be rendered, or ends a turn with no token.
    """
    tokenizer.chat_template = template or None
    if not template:
        return None
    try:
        ending = _behind_an_answer(tokenizer)
    except JinjaError as error:
        raise TemplateError(
            f"The chat template cannot write a question and an answer down: {error}.",
            remedy="Correct the template that the base settings name.",
        ) from error
    if (end := _own_token(tokenizer, ending)) is None:
        raise TemplateError(
            f"The chat template writes {ending!r} behind an answer, for which the model has no "
            "token of its own: it would never stop.",
            remedy="Set template in the base settings to the model's own family, or to plain.",
        )
    _stop_at(model, tokenizer, end)
    return end


def end_turns_as_own(model: Any, tokenizer: Any) -> None:
    """Has a tokenizer name the token that ends a turn in the model's own template.

    Nothing is changed where it does already, or where the model does not stop at that token.

    Raises:
        TemplateError: if the model has several chat templates, and none for plain conversations.
    """
    _keep_default(tokenizer)
    if not tokenizer.chat_template:
        return
    try:
        tokens = tokenizer.encode(_behind_an_answer(tokenizer), add_special_tokens=False)
    except JinjaError:
        return  # of use for other conversations, perhaps: those who render it say so
    stops = {tokenizer.eos_token_id, *_stops(model)}
    if (end := next((token for token in tokens if token in stops), None)) is not None:
        _name(tokenizer, end)


def _keep_default(tokenizer: Any) -> None:
    """Leaves one template of several: those for tools and documents are of no use to any room.

    Training, evaluation and serving are to have the same.
    """
    named = tokenizer.chat_template
    if not isinstance(named, dict):
        return
    if _DEFAULT not in named:
        raise TemplateError(
            f"The model has the chat templates {', '.join(sorted(named))}, expected one called "
            f"{_DEFAULT}.",
            remedy="Set template in the base settings to the one that conversations are to have.",
        )
    tokenizer.chat_template = named[_DEFAULT]


def _behind_an_answer(tokenizer: Any) -> str:
    whole: str = tokenizer.apply_chat_template(list(_TURNS), tokenize=False)
    return whole.rpartition(_ANSWER)[2]


def _own_token(tokenizer: Any, ending: str) -> int | None:
    """Gives the first token that stands for nothing but itself: no answer ends at a full stop."""
    tokens = tokenizer.encode(ending, add_special_tokens=False)
    own = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder} - {tokenizer.unk_token_id}
    return next((int(token) for token in tokens if token in own), None)


def _stop_at(model: Any, tokenizer: Any, end: int) -> None:
    others = [token for token in _stops(model) if token != end]
    model.generation_config.eos_token_id = [end, *others]
    _name(tokenizer, end)


def _stops(model: Any) -> list[int]:
    found = model.generation_config.eos_token_id
    return list(found) if isinstance(found, list | tuple) else [] if found is None else [found]


def _name(tokenizer: Any, end: int) -> None:
    if end != tokenizer.eos_token_id:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
