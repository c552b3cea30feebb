"""The trap: KFP's local runner skips this If and reports success."""

from typing import NamedTuple

from kfp import dsl


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def judge() -> NamedTuple("Verdict", [("passed", bool)]):
    from collections import namedtuple

    return namedtuple("Verdict", ["passed"])(True)


@dsl.component(base_image="python:3.11", packages_to_install=[], install_kfp_package=False)
def promote():
    raise SystemExit("promoted")


def build(target: str):
    @dsl.pipeline(name="lone-if")
    def pipeline():
        with dsl.If(judge().outputs["passed"] == True):  # noqa: E712 - builds a node
            promote()

    return pipeline
