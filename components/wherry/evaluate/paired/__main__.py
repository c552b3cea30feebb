"""python -m wherry.evaluate.paired: the comparison as a plain container entry point."""

from wherry.entry import main
from wherry.evaluate.paired.run import run

if __name__ == "__main__":
    main(run)
