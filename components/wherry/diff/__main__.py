"""python -m wherry.diff: the comparison as a plain container entry point."""

from wherry.diff.run import run
from wherry.entry import main

if __name__ == "__main__":
    main(run)
