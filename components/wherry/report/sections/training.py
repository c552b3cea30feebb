"""Training: the loss curve, the recipe, and how fast it went."""

from collections.abc import Sequence
from dataclasses import dataclass

from wherry.contracts.curve import CurvePoint, LossCurve
from wherry.page.plots.lines import Line, LinePlot, line_plot
from wherry.page.scales import smooth, thin
from wherry.page.view import Fact, Key, Signpost
from wherry.page.words import MISSING, duration, is_known, number


@dataclass(frozen=True)
class TrainingSection:
    """What the template shows of the training."""

    signpost: Signpost
    facts: tuple[Fact, ...]
    recipe: tuple[Fact, ...]
    keys: tuple[Key, ...]
    plot: LinePlot | None


def training_section(curve: LossCurve, most: int) -> TrainingSection:
    """Gives the training section; `most` points of the curve are drawn at most."""
    return TrainingSection(
        signpost=Signpost("training", "Training", "none", _summary(curve)),
        facts=_facts(curve),
        recipe=tuple(Fact(name, _plain(value)) for name, value in curve.settings.items()),
        keys=_keys(curve),
        plot=_plot(curve, most),
    )


def _summary(curve: LossCurve) -> str:
    return f"loss {_first_last(curve)} in {duration(curve.seconds)}"


def _first_last(curve: LossCurve) -> str:
    """Gives the loss on the eval split before and after, or on the training rows."""
    losses: list[float | None] = [p.eval_loss for p in curve.points if is_known(p.eval_loss)]
    losses = losses if len(losses) > 1 else [p.train_loss for p in _trained(curve)]
    return f"{_loss(losses[0])} → {_loss(losses[-1])}" if losses else MISSING


def _loss(value: float | None) -> str:
    return number(value) if value is None or abs(value) < 0.005 else f"{value:.2f}"


def _facts(curve: LossCurve) -> tuple[Fact, ...]:
    last = curve.points[-1] if curve.points else None
    return (
        Fact("Rows", number(curve.rows)),
        Fact("Epochs", number(curve.epochs)),
        Fact("Steps", number(last.step) if last else MISSING),
        Fact("Tokens", number(last.tokens) if last else MISSING),
        Fact("Speed", f"{number(curve.tokens_per_second)} tokens/s"),
        Fact("Time", duration(curve.seconds)),
        Fact("Seed", str(curve.seed)),
    )


def _plain(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value or MISSING if isinstance(value, str) else f"{value:g}"


def _trained(curve: LossCurve) -> list[CurvePoint]:
    return [point for point in curve.points if is_known(point.train_loss)]


def _evaluated(curve: LossCurve) -> list[CurvePoint]:
    return [point for point in curve.points if is_known(point.eval_loss)]


def _window(points: Sequence[CurvePoint]) -> int:
    """Gives an odd number of steps to average over: about a twentieth of the run."""
    return len(points) // 40 * 2 + 1


def _keys(curve: LossCurve) -> tuple[Key, ...]:
    window = _window(_trained(curve))
    mean = f"Training rows, mean of {window} steps" if window > 1 else "Training rows"
    keys = [Key("train-raw", "Training rows, each step")] if window > 1 else []
    keys += [Key("train-mean", mean)]
    return (*keys, *([Key("eval", "Eval split")] if _evaluated(curve) else ()))


def _plot(curve: LossCurve, most: int) -> LinePlot | None:
    lines = [line for line in (*_train_lines(curve, most), _eval_line(curve)) if line.xs]
    if not lines:
        return None
    return line_plot(
        "loss-curve",
        "Loss over steps",
        f"Mean cross-entropy of the completion's tokens, in nats: {_first_last(curve)}.",
        lines,
    )


def _train_lines(curve: LossCurve, most: int) -> list[Line]:
    points = _trained(curve)
    steps = thin([float(point.step) for point in points], most)
    losses = [point.train_loss for point in points if point.train_loss is not None]
    mean = thin(smooth(losses, _window(points)), most)
    raw = [Line("train-raw", steps, thin(losses, most))] if _window(points) > 1 else []
    return [*raw, Line("train-mean", steps, mean)]


def _eval_line(curve: LossCurve) -> Line:
    points = _evaluated(curve)
    return Line(
        "eval",
        [float(point.step) for point in points],
        [point.eval_loss for point in points if point.eval_loss is not None],
        [f"step {point.step:,}: eval loss {_loss(point.eval_loss)}" for point in points],
    )
