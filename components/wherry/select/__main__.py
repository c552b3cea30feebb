"""python -m wherry.select: choosing a base model as a plain container entry point."""

from wherry.entry import main
from wherry.select.run import run

if __name__ == "__main__":
    main(run)
