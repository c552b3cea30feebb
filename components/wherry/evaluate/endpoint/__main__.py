"""python -m wherry.evaluate.endpoint: the same evaluation of a running server."""

from wherry.entry import main
from wherry.evaluate.endpoint.run import run

if __name__ == "__main__":
    main(run)
