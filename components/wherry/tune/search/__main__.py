"""python -m wherry.tune.search: the search as a plain container entry point."""

from wherry.entry import main
from wherry.tune.search.run import run

if __name__ == "__main__":
    main(run)
