"""python -m wherry.serve: the model server as a plain container entry point."""

from wherry.entry import main
from wherry.serve.run import run

if __name__ == "__main__":
    main(run)
