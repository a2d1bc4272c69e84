"""How the command line shows things."""

from __future__ import annotations

import json

import pytest

from kie_core._cli.entries import age
from kie_core._cli.output import print_json, print_table


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (90000, "1 d")])
def test_ages_are_short(seconds, text):
    """One number and one unit."""
    assert age(seconds) == text


def test_a_table_takes_no_orders_from_kie(capsys):
    """Control characters and half characters of its texts are shown, not obeyed."""
    print_table(("a",), [("\x1b[2J\ud800\r\n",)])

    assert capsys.readouterr().out == "\\x1b[2J\\ud800\\x0d \n"


def test_json_is_json_on_any_terminal(capsys, monkeypatch):
    """An encoding without the letters gets escapes that every parser reads."""
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)

    print_json({"text": "é и \U0001f600 \x9b"})

    stream.flush()
    assert json.loads(stream.buffer.getvalue()) == {"text": "é и \U0001f600 \x9b"}


def test_a_narrow_terminal_cuts_off_nothing(monkeypatch):
    """What is typed next stands in one piece; the rest is broken, not left out."""
    import io

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    rows = [
        (f"bytedance/seedance-{version}-pro", "https://example.com/" + "x" * 60, "words " * 9) for version in (1, 2)
    ]

    print_table(("model", "source", "meaning"), rows)

    shown = terminal.getvalue()
    assert [row[0] in shown for row in rows] == [True, True]
    assert (shown.count("x"), shown.count("words")) == (122, 18)
    assert "…" not in shown
