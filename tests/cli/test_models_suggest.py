"""`wherry models suggest` as a person and as a machine meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WHERRY_")}
ASKED = ("--memory", "8GiB", "--license", "permissive", "--task", "classification")


def suggest(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    code = "from wherry.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "models", "suggest", *arguments],
        cwd=folder,
        env={**ENVIRONMENT, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_table_fits_eighty_columns_and_names_what_does_not_fit(tmp_path: Path) -> None:
    done = suggest(tmp_path, *ASKED)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # An address is not broken in two, so that it can be copied.
    assert max(len(line) for line in lines if "hf://" not in line) <= 80
    assert lines[1].startswith("smollm2-135m")
    assert "hf://HuggingFaceTB/SmolLM2-135M-Instruct@067481b5" in done.stdout
    assert "name a GGUF file of it as the base" in " ".join(done.stdout.split())
    assert "Does not fit" in done.stdout
    assert "licence asks more" in done.stdout
    assert "* not compared with a source:" in done.stdout
    assert not (tmp_path / ".wherry").exists()


def test_machines_get_the_whole_suggestion(tmp_path: Path) -> None:
    done = suggest(tmp_path, *ASKED, "--tune-memory", "16GiB", "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == "wherry.suggestion/1"
    assert told["chosen"] == told["fits"][0]["id"] == "smollm2-135m"
    assert told["need"]["tune_memory"] == 16 << 30
    assert told["fits"][0]["serve_parts"]["kv cache"] > 0


def test_all_shows_every_model_that_fits(tmp_path: Path) -> None:
    fits = json.loads(suggest(tmp_path, *ASKED, "--json").stdout)["fits"]
    assert f"{len(fits) - 8} more fit" in suggest(tmp_path, *ASKED).stdout
    shown = suggest(tmp_path, *ASKED, "--all").stdout
    assert all(f"\n{fit['id']}" in shown for fit in fits)


def test_nothing_fits_is_exit_code_1_and_points_to_an_api(tmp_path: Path) -> None:
    done = suggest(tmp_path, "--memory", "10MiB")
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert told.startswith("Nothing fits. A large model behind an API is the better choice")
    assert "the closest is smollm2-135m" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--memory", "lots"), "--memory must be a size such as 8GiB or 512MiB, got 'lots'"),
        (("--tune-memory", "8 GB"), "Write 8GB."),
        (("--memory", "8gib"), "Write 8GiB."),
        (("--task", "poetry"), "task must be one of classification, extraction"),
        (("--license", "free"), "license must be one of permissive, gated, restricted"),
        (("--catalogue", "no.yaml"), "no.yaml does not exist"),
    ],
)
def test_a_mistake_is_one_clear_error(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = suggest(tmp_path, *arguments)
    assert done.returncode in (1, 2)
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_malformed_catalogue_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("models:\n  - id: ours\n    hub: 3\n")
    done = suggest(tmp_path, "--catalogue", "own.yaml")
    assert done.returncode == 1
    assert "E_FORMAT" in done.stderr
    assert "$.hub" in done.stderr or "`name`" in done.stderr


def test_models_alone_still_lists(tmp_path: Path) -> None:
    for arguments in (("models",), ("models", "list"), ("models", "--json")):
        done = subprocess.run(
            [sys.executable, "-c", "from wherry.cli import main; main()", *arguments],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "[]" or "is released in" in done.stdout
