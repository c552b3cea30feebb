"""python -m wherry.evaluate: evaluation as a plain container entry point."""

from wherry.entry import main
from wherry.evaluate.run import run

if __name__ == "__main__":
    main(run)
