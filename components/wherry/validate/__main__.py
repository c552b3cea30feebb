"""python -m wherry.validate: validate as a plain container entry point."""

from wherry.entry import main
from wherry.validate.run import run

if __name__ == "__main__":
    main(run)
