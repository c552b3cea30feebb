"""A pipeline of three small tasks: real KFP, no model."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Output

STAGES = ("make", "check", "use")


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def make(text: str, thing: Output[Artifact]):
    from pathlib import Path

    from wherry.progress import stage

    with stage("make") as report:
        for done in range(3):
            report.progress(done, 3, f"row {done}")
        Path(thing.path).write_text(text)
        report.verdict(f"{len(text)} letters")


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def check(thing: Input[Artifact], good: Output[Artifact]) -> bool:
    import time
    from pathlib import Path

    from wherry.contracts.errors import ValidationError
    from wherry.progress import stage

    with stage("check"):
        text = Path(thing.path).read_text()
        if text.startswith("sleep"):
            Path(text.split()[1]).write_text(str(__import__("os").getpid()))
            time.sleep(60)
        if text == "silent":
            __import__("os")._exit(1)
        if text == "broken":
            raise ValidationError("text is 'broken', expected anything else.", remedy="Change it.")
        Path(good.path).write_text(text)
    return text != "bad"


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def use(thing: Input[Artifact], html: Output[Artifact]):
    from pathlib import Path

    from wherry.progress import stage

    with stage("use"):
        Path(html.path).write_text(f"<p>{Path(thing.path).read_text()}</p>")


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def refuse():
    from wherry.contracts.errors import GateRefusedError
    from wherry.progress import stage

    with stage("refuse"):
        raise GateRefusedError("bad is refused.", remedy="Be good.")


def build(target: str):
    @dsl.pipeline(name="toy")
    def toy(text: str):
        made = make(text=text).set_display_name("make")
        checked = check(thing=made.output).set_display_name("check")
        with dsl.If(checked.outputs["Output"] == True):  # noqa: E712 - builds a node
            use(thing=checked.outputs["good"]).set_display_name("use").set_caching_options(False)
        with dsl.Else():
            refuse().set_display_name("refuse").set_caching_options(False)

    return toy
