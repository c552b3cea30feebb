"""Serving: where the model answers, how to ask it, what the smoke test was told."""

import json
import shlex
from dataclasses import dataclass
from typing import Final

from wherry.contracts.dataset import Message
from wherry.contracts.release import Deployment
from wherry.page.view import Badge, Fact, Signpost
from wherry.report.evidence import Evidence

_ROUTE: Final = "/openai/v1/chat/completions"
_TARGETS: Final = {"local": "This machine", "kserve": "KServe", "vertex": "Vertex AI"}


@dataclass(frozen=True)
class ServingSection:
    """What the template shows of the deployment."""

    signpost: Signpost
    result: Badge
    facts: tuple[Fact, ...]
    call: str
    """A shell command that asks the model, or empty."""
    checks: tuple[str, ...]
    absence: str
    """Why there is nothing to show, or empty."""


def serving_section(evidence: Evidence) -> ServingSection:
    """Gives the serving section, also for a run that deployed nothing."""
    deployment = evidence.deployment
    if deployment is None:
        return _absent(evidence)
    result = Badge("good", "Healthy") if deployment.healthy else Badge("bad", "Not healthy")
    return ServingSection(
        signpost=Signpost(
            "serving", "Serving", result.state, f"{result.word.lower()}, {deployment.url}"
        ),
        result=result,
        facts=_facts(deployment),
        call=_call(deployment, evidence.example),
        checks=deployment.checks,
        absence="",
    )


def _absent(evidence: Evidence) -> ServingSection:
    refused = not evidence.blessing.passed
    why = "The gate refused this model, so nothing was deployed: what ran before goes on running."
    words = why if refused else "This run deployed nothing."
    badge = Badge("none", "Not deployed")
    return ServingSection(
        Signpost("serving", "Serving", "none", "not deployed"), badge, (), "", (), words
    )


def _facts(deployment: Deployment) -> tuple[Fact, ...]:
    return (
        Fact("Address", deployment.url),
        Fact("Target", _TARGETS.get(deployment.target, deployment.target)),
        Fact("Model", f"{deployment.name}, version {deployment.version}"),
        Fact("Generation", str(deployment.generation), "of the alias that it follows"),
        *([Fact("Process", str(deployment.pid))] if deployment.pid else ()),
    )


def _call(deployment: Deployment, prompt: tuple[Message, ...]) -> str:
    turns = [_json({"role": turn.role, "content": turn.content}) for turn in prompt]
    messages = ",\n  ".join(turns or ['{"role": "user", "content": "Your question"}'])
    model = _json(deployment.name)
    text = f'{{"model": {model}, "temperature": 0, "messages": [\n  {messages}]}}'
    address = shlex.quote(deployment.url.rstrip("/") + _ROUTE)
    return f"curl {address} \\\n  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(text)}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
