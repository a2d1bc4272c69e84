"""``kie sandbox``: serve the fake Kie for bots in any language."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import click

from kie_sandbox.faults import BadFault, Fault, described
from kie_sandbox.server import port_of, start
from kie_sandbox.world import Sandbox

if TYPE_CHECKING:
    _Parameter = click.ParamType[Fault]
else:  # generic since click 8.3 only
    _Parameter = click.ParamType


class _Written(_Parameter):
    """A fault as it is written."""

    name = "fault"

    def convert(self, value: str | Fault, param: click.Parameter | None, ctx: click.Context | None) -> Fault:
        try:
            return value if isinstance(value, Fault) else Fault.parse(value)
        except BadFault as error:
            self.fail(str(error), param, ctx)


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(described())
        context.exit()


@click.command()
@click.option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where to listen on this machine; 0: any free port.",
)
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="How much faster than real time tasks move.",
)
@click.option(
    "--credits", default=10_000.0, show_default=True, type=click.FloatRange(min=0), help="The balance to begin with."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=_Written(),
    metavar="NAME[=VALUE][*TIMES]",
    help="Do this wrong, every time or so many times; may be given more than once.",
)
@click.option("--webhook-key", metavar="KEY", help="Sign callbacks with it. Default: they are not signed.")
@click.option(
    "--faults", "listed", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List all faults."
)
def sandbox(port: int, speed: float, credits: float, faults: tuple[Fault, ...], webhook_key: str | None) -> None:
    """Serve a fake Kie on this machine: no key, no network, no money.

    Callbacks are sent to addresses on this machine only. While it runs, GET /_sandbox/state says what was bought;
    GET, PUT ({"faults": ["create-reset*1"]}) and DELETE of /_sandbox/faults show, add and clear faults, without a
    key.
    """
    world = Sandbox(speed=speed, credits=credits, faults=faults, webhook_key=webhook_key)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(world, port))


async def _serve(world: Sandbox, port: int) -> None:
    try:
        server = await start(world, port=port)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on port {port}: {error.strerror}; try another with --port"
        ) from error
    url = f"http://127.0.0.1:{port_of(server)}"
    click.echo(f"a fake Kie is at {url}; Ctrl-C ends it. For any client on this machine:", err=True)
    click.echo(f"export KIE_BASE_URL={url} KIE_UPLOAD_URL={url} KIE_API_KEY=sandbox")
    async with server:
        await server.serve_forever()
