"""python -m wherry.evaluate.benchmarks: benchmarks as a plain container entry point."""

from wherry.entry import main
from wherry.evaluate.benchmarks.run import run

if __name__ == "__main__":
    main(run)
