"""``kie generate``: buy one job."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
import click

from kie_core._cli import completion
from kie_core._cli.inputs import check_raw, raw_options, read_inputs
from kie_core._cli.output import (
    UNKNOWN,
    Progress,
    Uploading,
    as_json,
    check_wait,
    errors_shown,
    priced,
    print_json,
    print_line,
    print_result,
    report,
    say,
)
from kie_core._cli.stopping import hear_no_more, interrupt_code, leave_now, stoppable
from kie_core._error import KieError

if TYPE_CHECKING:
    from decimal import Decimal

    from kie_core._blocking import BlockingTask, KieBlocking
    from kie_core._budget import Budget
    from kie_core._jobs.job import Job

#: With --no-wait a create that Kie does not take now is tried again for so many seconds at the most.
_TAKING_SECONDS: Final = 60.0


def _check_key(_context: click.Context, _option: click.Parameter, key: str | None) -> str | None:
    if key is not None and not (0 < len(key) <= 200 and key.isprintable()):
        raise click.BadParameter("expected 1 to 200 printable characters")
    return key


def _check_price(_context: click.Context, _option: click.Parameter, roubles: str | None) -> Decimal | None:
    if roubles is None:
        return None
    from kie_core._budget import roubles_of

    try:
        return roubles_of(roubles)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("model_id", metavar="MODEL", shell_complete=completion.models)
@click.argument("pairs", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=completion.pairs)
@click.option("--inputs", "file", metavar="FILE", help="A JSON object of inputs; - reads stdin.")
@click.option("--wire", help="dedicated, jobs or v4; by default the model's own.")
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help="Where to save results."
)
@click.option("--no-save", is_flag=True, help="Print the results, files by their URLs, and save nothing.")
@click.option(
    "--wait",
    "wait_timeout",
    callback=check_wait,
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="How long to wait for the result.",
)
@click.option("--no-wait", is_flag=True, help="Print the handle as soon as Kie has taken the job.")
@click.option(
    "--job-key",
    metavar="KEY",
    callback=_check_key,
    help="Your own name for this purchase: with the same key and inputs it is bought once, however often you ask.",
)
@click.option(
    "--max-price",
    callback=_check_price,
    metavar="RUB",
    help="Refuse the job if it costs more, beside all limits.",
)
@click.option("--yes", is_flag=True, help="Ask nothing; a price that is unknown still needs --allow-unknown-price.")
@click.option("--allow-unknown-price", is_flag=True, help="Buy even where the price is unknown.")
@click.option("--no-reuse", is_flag=True, help="Upload files anew, though the same content lies at Kie already.")
@raw_options
@click.option("--sandbox", is_flag=True, help="Use a fake Kie on this machine: no key, no network, no money.")
@as_json
@errors_shown
@stoppable
def generate(
    model_id: str, pairs: tuple[str, ...], file: str | None, wire: str | None, out: Path | None, no_save: bool,
    wait_timeout: float | None, no_wait: bool, job_key: str | None, max_price: Decimal | None, yes: bool,
    allow_unknown_price: bool, no_reuse: bool, raw: bool, price_credits: float | None, sandbox: bool, as_json: bool,
) -> None:  # fmt: skip
    """Buy one job of MODEL, wait for it and save what it made. Costs money, except with --sandbox.

    Inputs are typed as the model wants them: prompt="a cat" duration=5. NAME=@file reads a text
    file; where a URL is expected it uploads the file: image_url=@photo.jpg. A list is given item by
    item: files_url=URL files_url=@photo.jpg; or as JSON, where "@photo.jpg" is the file as well.
    """
    if no_wait and (sandbox or wait_timeout is not None or out is not None):
        raise click.UsageError(
            "--no-wait goes without --sandbox, which ends with this command, and without --wait and --out"
        )
    check_raw(price_credits, raw=raw)
    with contextlib.ExitStack() as stack:
        kie = _client(stack, sandbox=sandbox, more=model_id if raw else None)
        known = kie.model(model_id) if not raw or model_id in kie.registry else None
        inputs = read_inputs(known, pairs, file, raw=raw)
        if raw:
            job = kie.job(model_id, inputs, wire=wire, raw=True, price_credits=price_credits)
        else:
            job = kie.prepare(model_id, inputs, wire=wire)
        say(f"{job.model.id}: {'free, in the sandbox; for real ' if sandbox else ''}{job.price}")
        if not sandbox:
            allow_unknown_price = _allowed(job, yes=yes, allowed=allow_unknown_price)
        if not (no_save or no_wait):
            _probe(out or kie.settings.out)
        buying = _Buying(
            kie, job, job_key, wait_timeout, _budget(kie, max_price), allow_unknown_price,
            reuse=not (no_reuse or sandbox),  # of a fake that is gone nothing lives
        )  # fmt: skip
        _run(buying, out=out, save=not no_save, wait=not no_wait, sandbox=sandbox, as_json=as_json)


def _client(stack: contextlib.ExitStack, *, sandbox: bool, more: str | None = None) -> KieBlocking:
    from kie_core._blocking import KieBlocking
    from kie_core._config import load_settings
    from kie_core._dispatch.dispatcher import load_dispatcher
    from kie_core._pace import WATCHED, Pace
    from kie_core._wait import Schedule

    settings = load_settings({"api_key": "sandbox"} if sandbox else None)
    if not sandbox:
        return stack.enter_context(KieBlocking(settings=settings, schedule=Pace(WATCHED)))
    from kie_core._dispatch.sandbox import open_sandbox

    dispatcher = load_dispatcher(attrs.evolve(settings, overlay=False))  # that is of another base URL
    registry = dispatcher.plugins.registry
    if more is not None and more not in registry:  # the fake Kie takes it, as the real one may
        registry = registry.extended([dispatcher.raw_job(more, {}, job_id="not-sent").model])
    url = stack.enter_context(open_sandbox(registry))
    quick = Schedule(first=0.1, factor=1.1, longest=0.5)
    here = attrs.evolve(settings, base_url=url, upload_url=url, ledger="memory:")
    return stack.enter_context(KieBlocking(settings=here, dispatcher=dispatcher, schedule=quick))


def _probe(folder: Path) -> None:
    """See that results can be saved, before they are paid."""
    from kie_core._files.saving import check_folder

    try:
        check_folder(folder)
    except OSError as error:
        raise click.UsageError(f"cannot save results in {str(folder)!r}: {error}; nothing was bought") from error


def _allowed(job: Job, *, yes: bool, allowed: bool) -> bool:
    """Let a job of unknown price pass only if somebody said so; tell whether somebody did."""
    if job.price.reserve is not None or allowed:
        return allowed
    if yes or not sys.stdin.isatty():
        raise click.UsageError(
            f"the price of {job.model.id} is unknown for these inputs; allow it with --allow-unknown-price"
        )
    click.confirm(f"the price of {job.model.id} is unknown for these inputs; buy it?", abort=True, err=True)
    return True


def _budget(kie: KieBlocking, max_price: Decimal | None) -> Budget | None:
    """Return what --max-price says, on the account's own scope: one of its own for each command would pile up."""
    from kie_core._budget import Budget
    from kie_core._cli.entries import account

    return None if max_price is None else Budget(max_price_rub=max_price, scope=f"account:{account(kie)}")


@attrs.frozen
class _Buying:
    """What is bought, and for how long."""

    kie: KieBlocking
    job: Job
    job_key: str | None
    wait_timeout: float | None
    budget: Budget | None
    allow_unknown_price: bool
    reuse: bool

    def seconds(self, *, wait: bool) -> float:
        from kie_core._wait import WAIT_SECONDS

        said = self.wait_timeout if self.wait_timeout is not None else self.kie.settings.wait_timeout
        seconds = WAIT_SECONDS[self.job.model.media] if said is None else said
        return seconds if wait else min(seconds, _TAKING_SECONDS)

    def submit(self, seconds: float) -> BlockingTask:
        with Uploading() as bar:
            return self.kie.submit(
                self.job, job_key=self.job_key, budget=self.budget, allow_unknown_price=self.allow_unknown_price,
                wait_timeout=seconds, on_upload=bar.show, reuse=self.reuse,
            )  # fmt: skip


def _run(buying: _Buying, *, out: Path | None, save: bool, wait: bool, sandbox: bool, as_json: bool) -> None:
    from kie_core._errors import SubmitUnknown

    handle = buying.job.handle()
    seconds, started = buying.seconds(wait=wait), time.monotonic()
    try:
        task = buying.submit(seconds)
        handle = task.handle
        known = task.job.id != buying.job.id
        say(f"the job key names this job already: {handle}" if known else f"accepted: {handle}")
        if not wait:
            _print(task, [], as_json=as_json, lines=[handle])
            return
        with Progress(task.remaining) as progress:
            for outcome in task.updates(max(0.0, seconds - (time.monotonic() - started))):
                progress.show(outcome.state, outcome.progress, outcome.artifacts)
        outcome = task.wait()
        paths = task.save(out) if save else []
    except SubmitUnknown as error:
        stopped = isinstance(error.__context__, KeyboardInterrupt)
        if stopped:
            hear_no_more()
        report(error, as_json=as_json)
        if not sandbox:
            _say_how_to_resolve(error.handle)
        if stopped:
            leave_now(UNKNOWN)
        sys.exit(UNKNOWN)
    except KeyboardInterrupt as interrupt:
        hear_no_more()
        _interrupted(interrupt, getattr(interrupt, "handle", handle), as_json=as_json)
    _print(task, paths, as_json=as_json, lines=[*map(str, paths)])
    if not save and not as_json:
        for artifact in outcome.artifacts:
            print_result(artifact)


def _say_how_to_resolve(handle: str) -> None:
    from kie_core._jobs.job import Handle

    say(f"when you know: kie jobs resolve {Handle.parse(handle).job} --adopt TASK | --not-submitted | --abandon")


def _interrupted(interrupt: KeyboardInterrupt, handle: str, *, as_json: bool) -> NoReturn:
    from kie_core._jobs.job import Handle

    code = interrupt_code()
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
        print_line(line)


def described(task: BlockingTask, **more: Any) -> dict[str, Any]:
    """Return what is known of *task*, for ``--json``."""
    outcome = task.outcome
    return {
        "job": task.job.id,
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
