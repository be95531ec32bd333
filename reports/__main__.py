"""`python -m reports`."""

from reports.cli import app
from wsshm.console import run


def main() -> None:
    run(app, "python -m reports")


if __name__ == "__main__":
    main()
