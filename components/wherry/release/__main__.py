"""python -m wherry.release: the release as a plain container entry point."""

from wherry.entry import main
from wherry.release.run import run

if __name__ == "__main__":
    main(run)
