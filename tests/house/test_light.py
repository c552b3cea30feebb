"""What loads when: `import wherry` and `wherry --help` cost next to nothing."""

import subprocess
import sys

import pytest

HEAVY = (
    "dvc",
    "great_expectations",
    "kfp",
    "kserve",
    "kubernetes",
    "pandas",
    "peft",
    "sqlalchemy",
    "torch",
    "transformers",
    "xllamacpp",
)


@pytest.mark.parametrize(
    "code",
    [
        "import wherry",
        "import wherry.contracts, wherry.ledger",
        "import wherry.cli",
        "from wherry.cli import cli; cli(['--help'], standalone_mode=False)",
        "import wherry.runtime.local, wherry.runtime.plan",
        "import wherry.tune.step, wherry.evaluate.step, wherry.gate.step, wherry.deploy.step",
        "import wherry.ingest.run, wherry.validate.run, wherry.tune.run, wherry.quantize.run",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    script = f"{code}\nimport sys; print(','.join(n for n in {HEAVY} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
