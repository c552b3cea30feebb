"""python -m wherry.tune.launch: starts torchrun on one of Vertex's machines."""

import os
import sys

from wherry.tune.forms import launch


def main(arguments: list[str]) -> None:
    """Becomes torchrun, so that signals reach it.

    Args:
        arguments: ``--processes N``, then those of ``python -m wherry.tune.node``.
    """
    command = launch(os.environ.get("CLUSTER_SPEC", ""), int(arguments[1]), tuple(arguments[2:]))
    os.execv(sys.executable, [sys.executable, "-m", "torch.distributed.run", *command])  # noqa: S606 # a list


if __name__ == "__main__":
    main(sys.argv[1:])
