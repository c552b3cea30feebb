"""python -m wherry.gate: the gate as a plain container entry point; exit code 3 if it refuses."""

from functools import wraps
from pathlib import Path
from typing import Any

from wherry.entry import main
from wherry.gate.run import refuse, run


@wraps(run)
def _run_or_refuse(blessing: Path, **arguments: Any) -> None:
    run(blessing=blessing, **arguments)
    refuse(blessing)


if __name__ == "__main__":
    main(_run_or_refuse)
