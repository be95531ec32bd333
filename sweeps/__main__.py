"""`python -m sweeps`."""

from sweeps.cli import app
from wsshm.console import run

if __name__ == "__main__":
    run(app, "python -m sweeps")
