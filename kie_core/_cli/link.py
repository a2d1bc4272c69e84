"""``kie link``: a result for somebody else's browser."""

from __future__ import annotations

import click

from kie_core._cli.output import as_json, errors_shown, print_json, print_line


@click.command()
@click.argument("urls", metavar="URL...", nargs=-1, required=True)
@as_json
@errors_shown
def link(urls: tuple[str, ...], as_json: bool) -> None:
    """Print a link to each URL of a result that anybody can open for 20 minutes. Needs a key; buys nothing."""
    from kie_core._blocking import KieBlocking

    links = []
    with KieBlocking() as kie:
        for url in urls:
            try:
                links.append(kie.download_link(url))
            except ValueError as error:
                raise click.UsageError(str(error)) from error
            if not as_json:
                print_line(links[-1])
    if as_json:
        print_json([{"url": url, "link": link} for url, link in zip(urls, links, strict=True)])
