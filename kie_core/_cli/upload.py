"""``kie upload``: put files where Kie can fetch them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kie_core._cli.output import Uploading, as_json, errors_shown, print_json, print_line


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--name", help="What to call the file there; by default its own base name. For one FILE.")
@click.option("--no-reuse", is_flag=True, help="Upload it anew, though the same content lies there already.")
@as_json
@errors_shown
def upload(files: tuple[str, ...], name: str | None, no_reuse: bool, as_json: bool) -> None:
    """Upload each FILE to Kie and print its URL; - reads stdin. Needs a key; free of charge, buys nothing.

    They live for a day. kie generate uploads files by itself: image_url=@photo.jpg
    """
    from kie_core._blocking import KieBlocking

    if name is not None and len(files) > 1:
        raise click.UsageError(f"--name is for one FILE, and {len(files)} were given")
    uploads = []
    with KieBlocking() as kie, Uploading() as bar:
        for file in files:
            source = sys.stdin.buffer if file == "-" else Path(file)
            uploads.append(kie.upload(source, name=name, on_progress=bar.show, reuse=not no_reuse))
            if not as_json:
                print_line(uploads[-1].url)
    if as_json:
        print_json(uploads)
