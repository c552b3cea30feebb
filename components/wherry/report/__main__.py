"""python -m wherry.report: the report as a plain container entry point."""

from wherry.entry import main
from wherry.report.run import run

if __name__ == "__main__":
    main(run)
