"""python -m wherry.evaluate.safety: the safety probes as a plain container entry point."""

from wherry.entry import main
from wherry.evaluate.safety.run import run

if __name__ == "__main__":
    main(run)
