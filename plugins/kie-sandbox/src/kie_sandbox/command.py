"""``kie sandbox``: serve the fake Kie for bots in any language."""

from __future__ import annotations

import asyncio
import contextlib

import click

from kie_sandbox.server import port_of, start
from kie_sandbox.world import Sandbox


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
def sandbox(port: int, speed: float, credits: float) -> None:
    """Serve a fake Kie on this machine: no key, no network, no money."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Sandbox(speed=speed, credits=credits), port))


async def _serve(world: Sandbox, port: int) -> None:
    try:
        server = await start(world, port=port)
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on port {port}: {error.strerror}; try another with --port"
        ) from error
    url = f"http://127.0.0.1:{port_of(server)}"
    click.echo(f"a fake Kie is at {url}; Ctrl-C ends it. For any client on this machine:", err=True)
    click.echo(f"export KIE_BASE_URL={url} KIE_API_KEY=sandbox")
    async with server:
        await server.serve_forever()
