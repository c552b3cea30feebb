"""python -m wherry.tune: tuning as a plain container entry point."""

from wherry.entry import main
from wherry.tune.run import run

if __name__ == "__main__":
    main(run)
