"""The harness on a model whose opinions are written down: scores that one can count by hand."""

import json
from pathlib import Path

import pytest
import yaml

from tests.evaluate_benchmarks.benchmark_data import ARC, BOOLQ, mmlu, write_rows, write_standard
from tests.fakes.raw_model import FakeRaw
from wherry.contracts import Metric
from wherry.contracts.errors import DataError, MissingError, SettingsError
from wherry.evaluate.benchmarks.adapters.harness import LmEvalHarness
from wherry.evaluate.benchmarks.settings import BenchmarkSettings
from wherry.evaluate.benchmarks.step import Measured, data_digest, metrics_of
from wherry.evaluate.memory import Answers, FileMemory
from wherry.evaluate.raw.step import Scored
from wherry.progress import Silent


class NoMemory:
    def recall(self, key: str) -> Answers | None:
        return None

    def keep(self, key: str, answers: Answers) -> None:
        pass


def measured(
    model: FakeRaw,
    folder: Path,
    *names: str,
    tasks: Path | None = None,
    data: Path | None = None,
    memory: FileMemory | None = None,
    **settings: object,
) -> Measured:
    chosen = BenchmarkSettings(tasks=names, **settings)  # type: ignore[arg-type]  # any setting
    harness = LmEvalHarness(
        model, memory or NoMemory(), chosen, tasks=tasks, data=data, scratch=folder / "scratch"
    )
    return harness.measure(Silent())


class LikesThree(FakeRaw):
    """Finds one word very probable where no question stands before it."""

    def _score(self, context: str, rest: str) -> Scored:
        found = super()._score(context, rest)
        return Scored(-0.1, False) if not context and rest == " three" else found


def value(found: Measured, name: str, slice_: str = "") -> Metric:
    return next(m for m in metrics_of(found) if (m.name, m.slice) == (name, slice_))


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_standard(tmp_path_factory.mktemp("standard"))


def test_hellaswag_counts_plainly_and_by_letter(standard: Path, tmp_path: Path) -> None:
    opinions = {
        # The first question's right ending, "rinses a plate and dries it.", has 28 letters:
        # -10 for all of them loses to "sings." at -4, but by letter it is -0.36 against -0.67.
        " rinses a plate and dries it.": -10.0,
        " sings.": -4.0,
        # The second's right ending wins both ways, the third's neither.
        " put it into the water.": -1.0,
        " mows.": -1.0,
    }
    found = measured(FakeRaw(opinions), tmp_path, "hellaswag", data=standard)
    plain, normed = value(found, "hellaswag_acc"), value(found, "hellaswag_acc_norm")
    assert (plain.value, plain.n, plain.method) == (pytest.approx(1 / 3), 3, "wilson")
    assert normed.value == pytest.approx(2 / 3)
    # Wilson's interval of 1 of 3.
    assert (plain.low, plain.high) == (
        pytest.approx(0.0615, abs=1e-4),
        pytest.approx(0.7923, abs=1e-4),
    )
    first = found.questions[0]
    assert (first.id, first.label, first.correct) == ("hellaswag/0", "0", False)
    assert (first.answer, first.label_pick) == ("2", "0")


def test_winogrande_compares_what_stands_before_the_same_ending(
    standard: Path, tmp_path: Path
) -> None:
    model = FakeRaw()
    found = measured(model, tmp_path, "winogrande", data=standard)
    # Both sentences end alike for either choice, so that this model finds them equally probable
    # and the first choice stands: right of the first question alone.
    assert value(found, "winogrande_acc").value == 0.5
    assert ("Ann thanked Eve because Eve", " had helped her.") in model.asked


def test_boolq_piqa_arc_and_openbookqa_are_asked_as_published(
    standard: Path, tmp_path: Path
) -> None:
    opinions = {" yes": -1.0, " no": -2.0, " Turn the lid.": -1.0, " dry wood": -1.0}
    model = FakeRaw(opinions)
    names = ("boolq", "piqa", "arc_easy", "openbookqa")
    found = measured(model, tmp_path, *names, data=standard)
    # Yes to all: two of three. The jar's lid is right, and of two wrong shirts the longer loses.
    assert value(found, "boolq_acc").value == pytest.approx(2 / 3)
    assert value(found, "piqa_acc").value == 1.0
    # Dry wood burns, it is no paper and no metal; and none of openbookqa's answers.
    assert value(found, "arc_easy_acc").value == pytest.approx(1 / 3)
    assert value(found, "openbookqa_acc").value == 0.0
    assert ("Ice floats.\nQuestion: does ice float?\nAnswer:", " yes") in model.asked
    assert ("Question: What burns?\nAnswer:", " dry wood") in model.asked
    assert ("What conducts?", " copper wire") in model.asked


def test_a_group_has_its_pooled_figure_and_each_task_as_a_slice(tmp_path: Path) -> None:
    data = tmp_path / "data"
    subjects = ("anatomy", "astronomy")
    own = tmp_path / "own"
    for subject in subjects:
        write_rows(data / f"mmlu_{subject}" / "test.jsonl", mmlu(subject))
        write_rows(data / f"mmlu_{subject}" / "dev.jsonl", mmlu(subject))
    group = {
        "group": "two_subjects",
        "task": [f"mmlu_{subject}" for subject in subjects],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
    }
    own.mkdir()
    (own / "two.yaml").write_text(yaml.safe_dump(group))
    model = FakeRaw({" B": -0.5})
    found = measured(model, tmp_path, "two_subjects", data=data, tasks=own, shots=1)
    whole = value(found, "two_subjects_acc")
    assert (whole.value, whole.n, whole.method) == (0.5, 4, "wilson")
    assert value(found, "two_subjects_acc", "mmlu_astronomy").value == 0.5
    # One solved example of the subject stands before each question.
    prompt = model.asked[0][0]
    assert prompt.startswith("The following are multiple choice questions (with answers) about")
    assert prompt.count("Answer: B") == 1 and prompt.endswith("Answer:")


def own_task(folder: Path, **changes: object) -> Path:
    """Writes a team's own task of two questions with free answers."""
    folder.mkdir(exist_ok=True)
    rows = [{"q": "One and one?", "a": "two"}, {"q": "One and two?", "a": "three"}]
    write_rows(folder / "sums" / "test.jsonl", rows)
    task = {
        "task": "sums",
        "dataset_path": "json",
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{a}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 9, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean"}],
        **changes,
    }
    (folder / "sums.yaml").write_text(yaml.safe_dump(task))
    return folder


def test_a_teams_own_task_is_asked_and_counted(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    model = FakeRaw(texts={"One and one?": "two\nand more", "One and two?": "four"})
    found = measured(model, tmp_path, "sums", tasks=own, data=own)
    assert value(found, "sums_exact_match").value == 0.5
    assert [q.answer for q in found.questions] == ["two", "four"]
    assert [q.correct for q in found.questions] == [True, False]


def test_a_figure_that_is_no_share_gets_its_interval_by_the_bootstrap(tmp_path: Path) -> None:
    metrics = [{"metric": "word_perplexity"}, {"metric": "bits_per_byte"}]
    own = own_task(
        tmp_path / "own",
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{q}}",
        metric_list=metrics,
    )
    found = measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)
    # Twelve letters in three words, one nat a letter: exp(24 / 6) a word, 1 / ln 2 bits a byte.
    words = value(found, "sums_word_perplexity")
    assert words.value == pytest.approx(54.598, rel=1e-4)
    assert words.method == "bootstrap"
    assert words.low is not None and words.high is not None
    assert words.low <= words.value <= words.high
    assert value(found, "sums_bits_per_byte").value == pytest.approx(1.442695, rel=1e-5)


def test_a_task_that_samples_is_refused(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own", generation_kwargs={"do_sample": True, "until": ["\n"]})
    with pytest.raises(SettingsError, match="samples its answers"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


@pytest.mark.parametrize("entry", [{"metric": "acuracy"}, {"metric": "acc", "hf_evaluate": True}])
def test_a_metric_that_the_harness_lacks_is_refused_and_no_script_of_its_name_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: dict[str, object]
) -> None:
    """The harness looks for one in the working folder, then on the hub, and runs what it finds."""
    script = tmp_path / str(entry["metric"]) / f"{entry['metric']}.py"
    script.parent.mkdir()
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    listed = [{**entry, "aggregation": "mean", "higher_is_better": True}]
    own, model = own_task(tmp_path / "own", metric_list=listed), FakeRaw()
    with pytest.raises(SettingsError, match=rf"metric '{entry['metric']}' would come from the hub"):
        measured(model, tmp_path, "sums", tasks=own, data=own)
    assert not (tmp_path / "ran").exists()
    assert not model.asked


def test_python_of_a_task_fetches_no_python_either(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    (own / "loud.py").write_text("import evaluate\nprompt = evaluate.load('accuracy')\n")
    text = (own / "sums.yaml").read_text().replace("'{{q}}'", "!function loud.prompt")
    (own / "sums.yaml").write_text(text)
    with pytest.raises(SettingsError, match="'accuracy' would come from the hub"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unsafe_code": True}, "runs the programs that the model writes"),
        (
            {"metric_list": [{"metric": "exact_match", "aggregation": "average"}]},
            "'exact_match' together by an aggregation that there is not",
        ),
        ({"doc_to_txt": "{{q}}"}, r"sums\.yaml has an unknown field 'doc_to_txt', expected one of"),
        ({"include": "nothing.yaml"}, r"sums\.yaml includes nothing\.yaml, which is not there"),
    ],
)
def test_what_cannot_be_counted_is_refused_before_any_question_is_asked(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    own, model = own_task(tmp_path / "own", **changes), FakeRaw()
    with pytest.raises(SettingsError, match=message):
        measured(model, tmp_path, "sums", tasks=own, data=own)
    assert not model.asked


def test_a_split_without_a_row_is_named(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    (own / "sums" / "test.jsonl").write_text("")
    with pytest.raises(MissingError, match=r"empty: sums/test\.jsonl"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


def test_python_that_fails_on_the_data_is_the_tasks_fault(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    (own / "loud.py").write_text("def prompt(doc):\n    return doc['q'].nothing\n")
    text = (own / "sums.yaml").read_text().replace("'{{q}}'", "!function loud.prompt")
    (own / "sums.yaml").write_text(text)
    with pytest.raises(SettingsError, match="AttributeError, which --debug shows"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


def test_a_choice_weighed_without_its_question_is_no_answer(tmp_path: Path) -> None:
    metrics = [{"metric": "acc"}, {"metric": "acc_mutual_info"}]
    own = own_task(
        tmp_path / "own",
        output_type="multiple_choice",
        doc_to_choice=["three", "two"],
        doc_to_target="{{a}}",
        metric_list=metrics,
    )
    # " two" is the likelier one behind a question; by itself " three" is likelier than either.
    model = LikesThree({" two": -1.0})
    found = measured(model, tmp_path, "sums", tasks=own, data=own)
    assert [(each.answer, each.label_pick) for each in found.questions] == [("1", "1")] * 2
    assert [each.correct for each in found.questions] == [True, False]


def test_a_task_whose_data_lacks_a_column_is_refused(tmp_path: Path) -> None:
    own = own_task(
        tmp_path / "own", doc_to_choice="{{nothing.of.the.kind}}", output_type="multiple_choice"
    )
    with pytest.raises(SettingsError, match="cannot run the tasks"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


def test_a_task_without_data_is_refused_though_another_has_some(
    standard: Path, tmp_path: Path
) -> None:
    with pytest.raises(MissingError, match="no data of the task 'mmlu_anatomy'"):
        measured(FakeRaw(), tmp_path, "boolq", "mmlu_anatomy", data=standard)


@pytest.mark.local
@pytest.mark.slow  # a name that it does not know sends the harness through 14,000 files
def test_an_unknown_task_is_named(standard: Path, tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    with pytest.raises(SettingsError, match="no benchmark task 'odd'"):
        measured(FakeRaw(), tmp_path, "odd", tasks=own, data=own)


def test_a_task_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    (own / "odd.yaml").write_text("task: odd\ntag: [")
    with pytest.raises(SettingsError, match=r"task file odd\.yaml is no YAML"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


def test_a_name_may_have_a_slash(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own", task="team/sums")
    (own / "sums").rename(own / "moved")
    (own / "team").mkdir()
    (own / "moved").rename(own / "team" / "sums")
    found = measured(
        FakeRaw(texts={"One and one?": "two"}), tmp_path, "team/sums", tasks=own, data=own
    )
    assert value(found, "team/sums_exact_match").value == 0.5


def test_a_task_file_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    with (own / "sums.yaml").open("a") as file:
        file.write("doc_to_text: '{{a}}'\n")
    with pytest.raises(SettingsError, match="the key 'doc_to_text' is given twice"):
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)


def test_a_tag_stands_for_its_tasks(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own", tag="arithmetic")
    model = FakeRaw(texts={"One and one?": "two"})
    found = measured(model, tmp_path, "arithmetic", tasks=own, data=own)
    assert value(found, "sums_exact_match").value == 0.5


def test_python_beside_a_task_file_makes_its_prompts(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    (own / "loud.py").write_text("def prompt(doc):\n    return doc['q'].upper()\n")
    text = (own / "sums.yaml").read_text().replace("'{{q}}'", "!function loud.prompt")
    (own / "sums.yaml").write_text(text)
    model = FakeRaw(texts={"ONE AND ONE?": "two"})
    assert (
        value(measured(model, tmp_path, "sums", tasks=own, data=own), "sums_exact_match").value
        == 0.5
    )


def test_a_question_that_does_not_fit_is_refused_before_any_is_asked(
    standard: Path, tmp_path: Path
) -> None:
    model = FakeRaw()
    model.context = 30
    with pytest.raises(DataError, match="the context has room for 30"):
        measured(model, tmp_path, "piqa", data=standard)
    assert model.asked == []


def test_rows_bounds_the_questions_of_each_task(standard: Path, tmp_path: Path) -> None:
    found = measured(FakeRaw(), tmp_path, "piqa", "boolq", data=standard, rows=1)
    assert [each.id for each in found.questions] == ["piqa/0", "boolq/0"]


def test_the_chat_template_stands_around_a_question_if_it_is_wanted(
    standard: Path, tmp_path: Path
) -> None:
    model = FakeRaw()
    measured(model, tmp_path, "boolq", data=standard, chat=True, rows=1)
    assert model.asked[0][0].startswith("<user>Ice floats.")
    assert model.asked[0][0].endswith("Answer:<assistant>")


def test_the_digest_of_the_data_changes_with_a_word_and_with_the_examples(
    standard: Path, tmp_path: Path
) -> None:
    first, again = (measured(FakeRaw(), tmp_path, "boolq", data=standard) for _ in range(2))
    other = tmp_path / "other"
    rows = (standard / "boolq" / "validation.jsonl").read_text().replace("Lead", "Iron")
    write_rows(other / "boolq" / "validation.jsonl", [json.loads(r) for r in rows.splitlines()])
    changed = measured(FakeRaw(), tmp_path, "boolq", data=other)
    write_rows(tmp_path / "both" / "boolq" / "train.jsonl", BOOLQ)
    write_rows(tmp_path / "both" / "boolq" / "validation.jsonl", BOOLQ)
    shown = measured(FakeRaw(), tmp_path, "boolq", data=tmp_path / "both", shots=1)
    digests = [data_digest(each.questions) for each in (first, again, changed, shown)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_a_memory_spares_the_model_what_it_answered_before(standard: Path, tmp_path: Path) -> None:
    path = tmp_path / "memory"
    first = measured(FakeRaw(), tmp_path, "boolq", data=standard, memory=FileMemory(path, "me"))
    model = FakeRaw()
    again = measured(model, tmp_path, "boolq", data=standard, memory=FileMemory(path, "me"))
    assert again == first
    assert model.asked == []
    measured(model, tmp_path, "boolq", data=standard, memory=FileMemory(path, "another"))
    assert len(model.asked) == 6


@pytest.mark.local
def test_mmlu_is_all_its_subjects(tmp_path: Path) -> None:
    import lm_eval.tasks

    home = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
    subjects = [path.stem.removeprefix("mmlu_") for path in home.glob("mmlu_*.yaml")]
    data = tmp_path / "data"
    for subject in subjects:
        write_rows(data / f"mmlu_{subject}" / "test.jsonl", mmlu(subject))
        write_rows(data / f"mmlu_{subject}" / "dev.jsonl", mmlu(subject))
    found = measured(FakeRaw({" B": -0.5}), tmp_path, "mmlu", data=data)
    whole = value(found, "mmlu_acc")
    assert (len(subjects), whole.value, whole.n) == (57, 0.5, 114)
    assert value(found, "mmlu_acc", "mmlu_anatomy").n == 2
    assert len(metrics_of(found)) == 2 * (1 + 57)
    (data / "mmlu_anatomy" / "test.jsonl").unlink()
    (data / "mmlu_anatomy" / "dev.jsonl").unlink()
    with pytest.raises(MissingError, match="no data of the task 'mmlu_anatomy'"):
        measured(FakeRaw(), tmp_path, "mmlu", data=data)


def test_a_copy_of_the_hubs_data_set_is_read_where_it_lies(tmp_path: Path) -> None:
    # As `hf download --repo-type dataset allenai/ai2_arc` leaves it: configurations in a card.
    copy = tmp_path / "data" / "allenai" / "ai2_arc"
    configurations = [
        {
            "config_name": name,
            "data_files": [
                {"split": split, "path": f"{name}/{split}.jsonl"}
                for split in ("train", "validation", "test")
            ],
        }
        for name in ("ARC-Easy", "ARC-Challenge")
    ]
    for name, rows in (("ARC-Easy", ARC), ("ARC-Challenge", ARC[:1])):
        for split in ("train", "validation", "test"):
            write_rows(copy / name / f"{split}.jsonl", rows)
    card = yaml.safe_dump({"configs": configurations})
    (copy / "README.md").write_text(f"---\n{card}---\n")
    found = measured(FakeRaw(), tmp_path, "arc_easy", "arc_challenge", data=tmp_path / "data")
    assert [value(found, name).n for name in ("arc_easy_acc", "arc_challenge_acc")] == [3, 1]


def test_the_split_that_is_asked_must_be_there(standard: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "data" / "boolq" / "train.jsonl", BOOLQ)
    with pytest.raises(SettingsError, match="cannot run the tasks"):
        measured(FakeRaw(), tmp_path, "boolq", data=tmp_path / "data")


def test_examples_are_not_shown_from_a_split_that_is_not_there(
    standard: Path, tmp_path: Path
) -> None:
    # Without a training split the harness would show questions of the split that is asked.
    with pytest.raises(MissingError, match="solved examples"):
        measured(FakeRaw(), tmp_path, "boolq", data=standard, shots=1)


def test_an_error_does_not_quote_the_data(tmp_path: Path) -> None:
    own = own_task(tmp_path / "own")
    (own / "bad.py").write_text("def prompt(doc):\n    return str(int(doc['q']))\n")
    text = (own / "sums.yaml").read_text().replace("'{{q}}'", "!function bad.prompt")
    (own / "sums.yaml").write_text(text)
    with pytest.raises(SettingsError, match="ValueError, which --debug shows") as raised:
        measured(FakeRaw(), tmp_path, "sums", tasks=own, data=own)
    assert "One and one" not in str(raised.value)
