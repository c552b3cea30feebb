"""python -m wherry.evaluate.judge: the judge as a plain container entry point."""

from wherry.entry import main
from wherry.evaluate.judge.run import run

if __name__ == "__main__":
    main(run)
