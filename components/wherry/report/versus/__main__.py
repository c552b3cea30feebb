"""python -m wherry.report.versus: the page of two versions as a plain container entry point."""

from wherry.entry import main
from wherry.report.versus.run import run

if __name__ == "__main__":
    main(run)
