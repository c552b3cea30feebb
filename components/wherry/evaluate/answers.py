"""What counts of an answer, and what does not."""

import string
import unicodedata


def normalise(text: str) -> str:
    """Gives what counts of an answer: case, outer punctuation and spacing do not.

    Example::

        normalise(" Heart. ")  # "heart"
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return plain.strip(string.punctuation + " ")
