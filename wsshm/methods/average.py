"""How long a student's moving average looks back, where the average teaches it and is the model in the end."""

from wsshm.config import RunConfig

WINDOW = 12
LARGEST = 0.999  # of mean teachers, arXiv 1703.01780


def decay_of(config: RunConfig) -> float:
    """`train.ema`, or by default a twelfth of the steps (0.99 for 1,200), at least two of them and at most a thousand.

    A longer look back is far behind its student when few steps are done (reports/findings.md).
    """
    return config.train.ema or min(LARGEST, max(0.5, 1 - WINDOW / config.train.steps))
