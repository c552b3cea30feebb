"""python -m wherry.deploy: the deployment as a plain container entry point."""

from wherry.deploy.run import run
from wherry.entry import main

if __name__ == "__main__":
    main(run)
