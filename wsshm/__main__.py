"""`python -m wsshm`, the same as the console script `wsshm`."""

import sys

from wsshm.console import CODE, run


def main() -> None:
    """Run the command line."""
    sys.path.insert(0, str(CODE))  # `-m` looks into the working directory first, whose folder `bench` is not ours
    from sweeps.door import app

    run(app, "wsshm")


if __name__ == "__main__":
    main()
