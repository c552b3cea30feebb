"""python -m wherry.ingest: ingest as a plain container entry point."""

from wherry.entry import main
from wherry.ingest.run import run

if __name__ == "__main__":
    main(run)
