"""``kie generate``: buy one job."""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import rich_click as click

from kie_core._cli.inputs import read_inputs
from kie_core._cli.output import (
    INTERRUPTED,
    UNKNOWN,
    Progress,
    as_json,
    check_wait,
    errors_shown,
    leave_now,
    priced,
    print_json,
    report,
    say,
)
from kie_core._errors import KieError, SubmitUnknown

if TYPE_CHECKING:
    from kie_core._blocking import BlockingTask, KieBlocking
    from kie_core._job import Job


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("pairs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--inputs", "file", metavar="FILE", help="A JSON object of inputs; - reads stdin.")
@click.option("--wire", help="dedicated, jobs or v4; by default the model's own.")
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help="Where to save results."
)
@click.option("--no-save", is_flag=True, help="Print the URLs of the results and save nothing.")
@click.option(
    "--wait",
    "wait_timeout",
    callback=check_wait,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for the result.",
)
@click.option("--no-wait", is_flag=True, help="Print the handle and return at once.")
@click.option("--yes", is_flag=True, help="Ask nothing; a price that is unknown still needs --allow-unknown-price.")
@click.option("--allow-unknown-price", is_flag=True, help="Buy even where the price is unknown.")
@click.option("--sandbox", is_flag=True, help="Use a fake Kie on this machine: no key, no network, no money.")
@as_json
@errors_shown
def generate(
    model_id: str, pairs: tuple[str, ...], file: str | None, wire: str | None, out: Path | None, no_save: bool,
    wait_timeout: float | None, no_wait: bool, yes: bool, allow_unknown_price: bool, sandbox: bool, as_json: bool,
) -> None:  # fmt: skip
    """Buy one job of MODEL, wait for it and save what it made. Costs money, except with --sandbox.

    Inputs are typed as the model wants them: prompt="a cat" duration=5. NAME=@file reads a text
    file; a list is given item by item: files_url=URL files_url=URL.
    """
    if no_wait and (sandbox or wait_timeout is not None or out is not None):
        raise click.UsageError(
            "--no-wait goes without --sandbox, which ends with this command, and without --wait and --out"
        )
    with contextlib.ExitStack() as stack:
        kie = _client(stack, sandbox=sandbox)
        job = kie.job(model_id, read_inputs(kie.registry.get(model_id), pairs, file), wire=wire)
        say(f"{job.model.id}: {'free, in the sandbox; for real ' if sandbox else ''}{job.price}")
        if not sandbox:
            _allow(job, yes=yes, allowed=allow_unknown_price)
        if not (no_save or no_wait):
            _probe(out or kie.settings.out)
        _run(kie, job, out=out, save=not no_save, wait=not no_wait, wait_timeout=wait_timeout, as_json=as_json)


def _client(stack: contextlib.ExitStack, *, sandbox: bool) -> KieBlocking:
    from kie_core._blocking import KieBlocking
    from kie_core._config import load_settings
    from kie_core._dispatch import load_dispatcher
    from kie_core._wait import Schedule

    settings = load_settings({"api_key": "sandbox"} if sandbox else None)
    if not sandbox:
        return stack.enter_context(KieBlocking(settings=settings))
    from kie_core._sandbox import open_sandbox

    dispatcher = load_dispatcher(settings)
    url = stack.enter_context(open_sandbox(dispatcher.plugins.registry))
    quick = Schedule(first=0.1, factor=1.1, longest=0.5)
    here = attrs.evolve(settings, base_url=url)
    return stack.enter_context(KieBlocking(settings=here, dispatcher=dispatcher, schedule=quick))


def _probe(folder: Path) -> None:
    """See that results can be saved, before they are paid."""
    from kie_core._files import check_folder

    try:
        check_folder(folder)
    except OSError as error:
        raise click.UsageError(f"cannot save results in {str(folder)!r}: {error}; nothing was bought") from error


def _allow(job: Job, *, yes: bool, allowed: bool) -> None:
    """Let a job of unknown price pass only if somebody said so."""
    if job.price.reserve is not None or allowed:
        return
    if yes or not sys.stdin.isatty():
        raise click.UsageError(
            f"the price of {job.model.id} is unknown for these inputs; allow it with --allow-unknown-price"
        )
    click.confirm(f"the price of {job.model.id} is unknown for these inputs; buy it?", abort=True, err=True)


def _run(
    kie: KieBlocking, job: Job, *, out: Path | None, save: bool, wait: bool, wait_timeout: float | None, as_json: bool
) -> None:
    handle = job.handle()
    try:
        task = kie.submit(job)
        handle = task.handle
        say(f"accepted: {handle}")
        if not wait:
            _print(task, [], as_json=as_json, lines=[handle])
            return
        with Progress() as progress:
            for outcome in task.updates(wait_timeout):
                progress.show(outcome.state, outcome.progress)
        outcome = task.wait()
        for artifact in outcome.artifacts if not save else ():
            if artifact.url is None:
                say(f"{artifact.kind}: {artifact.text if artifact.text is not None else artifact.data}")
        paths = task.save(out) if save else []
    except SubmitUnknown as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is said about the money is said to its end
        report(error, as_json=as_json)
        leave_now(UNKNOWN)
    except KeyboardInterrupt as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _interrupted(interrupt, getattr(interrupt, "handle", handle), as_json=as_json)
    _print(task, paths, as_json=as_json, lines=[*map(str, paths)] if save else [*outcome.urls])


def _interrupted(interrupt: KeyboardInterrupt, handle: str, *, as_json: bool) -> NoReturn:
    from kie_core._job import Handle

    code = INTERRUPTED
    if Handle.parse(handle).task is not None:
        message = f"interrupted; the task goes on at Kie and is paid: kie save {handle}"
    elif isinstance(interrupt.__cause__, KieError):
        message = f"interrupted; {interrupt.__cause__}"
    else:
        code = UNKNOWN
        message = f"interrupted; it may have been bought: look at https://kie.ai/logs before you try again ({handle})"
    if as_json:
        print_json({"error": "Interrupted", "message": message, "handle": handle})
    say(message)
    leave_now(code)


def _print(task: BlockingTask, paths: list[Path], *, as_json: bool, lines: list[str]) -> None:
    if as_json:
        print_json(described(task, files=paths, price=priced(task.job.price)))
        return
    for line in lines:
        click.echo(line)


def described(task: BlockingTask, **more: Any) -> dict[str, Any]:
    """Return what is known of *task*, for ``--json``."""
    outcome = task.outcome
    return {
        "handle": task.handle,
        "model": task.job.model.id,
        "wire": task.job.wire,
        "task_id": task.id,
        "state": outcome.state if outcome else "submitted",
        "progress": outcome.progress if outcome else None,
        "artifacts": outcome.artifacts if outcome else (),
        "error": outcome.error if outcome else None,
        "credits": outcome.credits if outcome else None,
        **more,
    }
