"""`python -m wsshm`, the same as the console script `wsshm`."""

from sweeps.door import app
from wsshm.console import run


def main() -> None:
    """Run the command line."""
    run(app, "wsshm")


if __name__ == "__main__":
    main()
