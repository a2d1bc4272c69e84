"""How far a task is, and how long it still takes, for a person who watches."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kie_core import Artifact
from kie_core._cli.bar import Bar
from kie_core._cli.output import Progress, Uploading, time_left


@pytest.fixture
def console():
    return Console(file=io.StringIO(), force_terminal=True, width=100)


def drawn(bar, console):
    """What is on the screen now."""
    with console.capture() as captured:
        console.print(bar.get_renderable())
    return captured.get()


def test_without_a_word_of_kie_it_goes_by_how_long_such_tasks_take(console):
    """Never full before the end, and never backwards."""
    remaining = 30.0
    bar = Bar(lambda: remaining, console=console)
    shares = []
    for seconds in (0.0, 10.0, 20.0, 29.0, 60.0):
        bar.tasks[0].start_time = bar.get_time() - seconds
        remaining = max(5.0, 30.0 - seconds)
        text = drawn(bar, console)
        shares.append(bar.tasks[0].completed)

    assert shares == sorted(shares)
    assert 0.0 <= shares[0] < 0.01
    assert 0.9 < shares[-1] < 1
    assert "about 5 s left" in text


def test_what_kie_says_counts_more(console):
    """It knows."""
    bar = Bar(lambda: 30.0, console=console)
    bar.show("running", 0.25)

    assert "25%" in drawn(bar, console)


def test_where_nobody_knows_nothing_is_said(console):
    """Neither a share nor a time."""
    bar = Bar(lambda: None, console=console)
    bar.show("queued", None)
    text = drawn(bar, console)

    assert "queued" in text
    assert "left" not in text
    assert "%" not in text


def test_the_end_is_the_end(console):
    """Whatever was thought before."""
    bar = Bar(lambda: None, console=console)
    bar.show("succeeded", None)

    assert "100%" in drawn(bar, console)


def test_elsewhere_a_line_says_it_once(capsys):
    """A log is not filled with estimates."""
    seconds = iter([40.0, 39.0, 12.0])
    with Progress(lambda: next(seconds)) as progress:
        progress.show("running", None)
        progress.show("running", None)
        progress.show("running", 0.5)
        progress.show("succeeded", None)

    assert capsys.readouterr().err.splitlines() == [
        "running, about 40 s left", "running 50%, about 39 s left", "succeeded",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "about 1 s left"), (89.0, "about 89 s left"), (150.0, "about 2 min left")],
)
def test_a_time_is_a_round_number(seconds, text):
    """It is a guess."""
    assert time_left(seconds) == text


@pytest.mark.parametrize("state", ["needs_input", "failed", "expired"])
def test_what_does_not_go_on_by_itself_has_no_time_left(state, console, capsys):
    """A task that waits for a person waits as long as the person likes."""
    with Progress(lambda: 12.0) as progress:
        progress.show(state, None)
    bar = Bar(lambda: 12.0, console=console)
    bar.show(state, None)

    assert capsys.readouterr().err == f"{state.replace('_', ' ')}\n"
    assert "left" not in drawn(bar, console)


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_on_a_terminal_without_a_cursor_lines_are_written(kind, monkeypatch, capsys):
    """There a bar is not drawn at all, and a person would see nothing for minutes."""
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress() as progress:
        progress.show("running", None)
    with Uploading() as uploading:
        uploading.show(5, 10)

    assert capsys.readouterr().err.splitlines() == ["running", "uploading 10 bytes"]


def test_what_is_there_already_is_told_once(capsys):
    """The words first, then the first song; a record repeats what it said before, and the end is printed elsewhere."""
    words, song = Artifact("text", text="la la"), Artifact("audio", "https://example.com/1.mp3")
    with Progress() as progress:
        progress.show("partial", None, [words])
        progress.show("partial", None, [words, song])
        progress.show("succeeded", None, [song, Artifact("audio", "https://example.com/2.mp3")])

    told = ["text so far: la la", "partial", "audio so far: https://example.com/1.mp3", "succeeded"]
    assert capsys.readouterr().err.splitlines() == told


def test_beside_a_bar_it_stands_on_lines_of_its_own(console):
    """A song's words are no markup."""
    with Bar(lambda: None, console=console) as bar:
        bar.say("[Verse]\nla la")

    assert "[Verse]\nla la\n" in console.file.getvalue()
