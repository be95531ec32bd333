"""What a file's name, or an id in a foreign table, may do to the terminal that it is printed on: nothing."""

import logging
import os

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from wsshm.console import run
from wsshm.errors import UserError, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("IMG_0001 (2)", "IMG_0001 (2)"),
        ("Zoé 人物 👩‍👧", "Zoé 人物 👩‍👧"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj\u202egnp", r"gpj\u202egnp"),
        (os.fsdecode(b"caf\xe9.png"), r"caf\xe9.png"),
        ("\ud800", r"\ud800"),
    ],
)
def test_only_what_controls_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_becomes_one_line_that_can_be_encoded(text):
    shown = printable(text)
    assert len(shown.encode().decode().splitlines()) <= 1
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert printable(shown) == shown


def test_errors_and_log_lines_pass_through_it(capsys, monkeypatch):
    app = typer.Typer()

    @app.command()
    def fails() -> None:
        logging.getLogger("wsshm.made_up").warning("skipped %s", "\x1b[2J.png")
        raise UserError("no picture at \x1b]0;title\x07.png;\nlook again")

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.argv", ["made-up"])
    with pytest.raises(SystemExit):
        run(app, "made-up")
    assert capsys.readouterr().err == "skipped \\x1b[2J.png\nerror: no picture at \\x1b]0;title\\x07.png;\nlook again\n"
