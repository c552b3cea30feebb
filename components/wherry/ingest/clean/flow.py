"""Sends rows through the cleaning steps that settings chose, in their order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from wherry.ingest.clean.labels import Labels
from wherry.ingest.clean.lengths import Characters, DropTooLong, Measure, Truncate
from wherry.ingest.clean.repeats import Duplicates, NearRepeats
from wherry.ingest.clean.settings import (
    Balance,
    Cap,
    DropDuplicates,
    DropNearDuplicates,
    NormaliseUnicode,
    RedactPii,
    StepSettings,
    StripControl,
    name_of,
)
from wherry.ingest.clean.settings import DropTooLong as TooLongSettings
from wherry.ingest.clean.settings import Truncate as TruncateSettings
from wherry.ingest.clean.steps import Rows, Step
from wherry.ingest.clean.texts import normalise_unicode, redact_pii, strip_control_characters

Tokens = Callable[[str], Measure]
"""Gives what counts tokens by the tokenizer that settings name."""


def steps_of(chosen: Sequence[StepSettings], scratch: Path, tokens: Tokens) -> list[Step]:
    """Makes the steps that settings chose.

    Args:
        chosen: in the order in which they run.
        scratch: a folder; steps that compare rows keep them in it.
        tokens: called for a step that counts tokens.
    """
    return [
        _step(settings, scratch / f"{number}", tokens) for number, settings in enumerate(chosen)
    ]


def through(rows: Rows, steps: Sequence[Step]) -> Rows:
    """Gives rows as the last step leaves them.

    Steps on single rows are fused into one pass; one that compares rows first takes them all.
    """
    for step in steps:
        rows = step(rows)
    return rows


def _step(settings: StepSettings, scratch: Path, tokens: Tokens) -> Step:
    name = name_of(settings)
    match settings:
        case NormaliseUnicode():
            return normalise_unicode(settings, name)
        case StripControl():
            return strip_control_characters(name)
        case RedactPii():
            return redact_pii(settings, name)
        case DropDuplicates():
            return Duplicates(settings, name, scratch)
        case DropNearDuplicates():
            return NearRepeats(settings, name, scratch)
        case Cap() | Balance():
            return Labels(settings, name, scratch)
        case TooLongSettings():
            return DropTooLong(name, *_limit(settings, tokens))
        case TruncateSettings():
            return Truncate(name, *_limit(settings, tokens))


def _limit(settings: TooLongSettings | TruncateSettings, tokens: Tokens) -> tuple[int, Measure]:
    if settings.tokens:
        return settings.tokens, tokens(settings.tokenizer)
    return settings.characters, Characters()
