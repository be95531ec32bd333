"""Tables in a terminal, where no number is ever cut."""

from __future__ import annotations

import rich.console
import rich.table
from rich.text import Text

from wsshm.errors import printable

ANY_WIDTH = 10_000


def plain(value: object) -> Text:
    """A cell that shows a name as it is: no markup is read in it, and nothing of it controls the terminal."""
    return Text(printable(str(value)))


def print_whole(*forms: rich.table.Table) -> None:
    """Print a table to stdout in the first of its forms that fits the terminal, else in the last, without cutting it.

    A pipe or a file has no width: it takes the first form.
    """
    console = rich.console.Console()
    widths = [rich.console.Console(width=ANY_WIDTH).measure(form).maximum for form in forms]
    fitting = [index for index, width in enumerate(widths) if width <= console.width or not console.is_terminal]
    chosen = fitting[0] if fitting else len(forms) - 1
    console.width = max(console.width, widths[chosen])
    console.print(forms[chosen])
