"""python -m wherry.base: fetching a base model as a plain container entry point."""

from wherry.base.run import run
from wherry.entry import main

if __name__ == "__main__":
    main(run)
