"""`python -m bench`: measure accuracy and speed."""

from bench.cli import app
from wsshm.console import run


def main() -> None:
    run(app, "python -m bench")


if __name__ == "__main__":
    main()
