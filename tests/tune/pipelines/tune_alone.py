"""A pipeline of the tune component alone, on folders that are there."""

from kfp import dsl
from kfp.dsl import Dataset, Model

from wherry.tune.component import tune

STAGES = ("tune",)


def build(target: str):
    @dsl.pipeline(name="tune-alone")
    def alone(dataset: str, base: str, settings: str):
        data = dsl.importer(artifact_uri=dataset, artifact_class=Dataset, reimport=False)
        model = dsl.importer(artifact_uri=base, artifact_class=Model, reimport=False)
        task = tune(dataset=data.output, base=model.output, settings=settings)
        task.set_display_name("tune")

    return alone
