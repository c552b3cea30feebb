"""A reference is scored by the tokens that it has behind its prompt, as in training."""

from tests.fakes.raw_model import FakeRaw
from wherry.contracts import Message, Row
from wherry.evaluate.likelihoods import likelihoods
from wherry.evaluate.raw.step import Tokens
from wherry.progress import Silent

ROW = Row("r", (Message("user", "hi"), Message("assistant", "yes")))


class OpensWithMark(FakeRaw):
    """Puts a mark before each text, as Llama 2's and Phi's tokenizers do."""

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        return super().tokens("_" + text)


class Joins(FakeRaw):
    """Has one token for what ends a turn's opening and begins an answer."""

    def tokens(self, text: str, *, special: bool = True) -> Tokens:
        return super().tokens(text.replace(">y", "#"))


def test_a_tokenizer_that_looks_to_the_left_adds_nothing_to_an_answer() -> None:
    model = OpensWithMark()
    (found,) = likelihoods(model, [ROW], Silent())
    assert model.asked == [("_<user>hi<assistant>", "yes")]
    assert (found.nats, found.tokens) == (3.0, 3)


def test_an_answer_that_melts_into_its_opening_has_its_own_tokens() -> None:
    model = Joins()
    (found,) = likelihoods(model, [ROW], Silent())
    assert model.asked == [("<user>hi<assistant>", "yes")]
    assert found.tokens == 3


def test_an_empty_turn_adds_nothing_and_is_not_asked() -> None:
    model = FakeRaw()
    silent = Row("s", (Message("user", "hi"), Message("assistant", "")))
    found = likelihoods(model, [silent, ROW, silent], Silent())
    assert [(each.nats, each.tokens) for each in found] == [(0, 0), (3.0, 3), (0, 0)]
    assert model.asked == [("<user>hi<assistant>", "yes")]
