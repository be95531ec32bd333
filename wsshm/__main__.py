"""`python -m wsshm`, the same as the console script `wsshm`."""

from __future__ import annotations

from wsshm.cli import app
from wsshm.commandline import run


def main() -> None:
    """The console script's entry."""
    run(app, "wsshm")


if __name__ == "__main__":
    main()
