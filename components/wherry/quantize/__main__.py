"""python -m wherry.quantize: quantizing as a plain container entry point."""

from wherry.entry import main
from wherry.quantize.run import run

if __name__ == "__main__":
    main(run)
