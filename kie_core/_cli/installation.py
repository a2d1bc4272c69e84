"""``kie plugins`` and ``kie config``: what is installed, and what is set where."""

from __future__ import annotations

import attrs
import click

from kie_core._cli.output import as_json, errors_shown, print_json, print_table, say


@click.command()
@as_json
@errors_shown
def plugins(as_json: bool) -> None:
    """List the installed plugins, and what is wrong with those that cannot be used."""
    from kie_core._config import load_settings
    from kie_core._dispatch.dispatcher import load_dispatcher

    loaded = load_dispatcher(load_settings()).plugins
    if as_json:
        print_json([attrs.asdict(record) for record in loaded.records])
        return
    print_table(
        ("category", "distribution", "version", "condition", "wires", "reason"),
        (
            (
                record.name,
                record.distribution,
                record.version,
                record.condition,
                " ".join(record.wires),
                record.reason,
            )
            for record in loaded.records
        ),
    )
    known = {record.name for record in loaded.records}
    for category in sorted({model.category for model in loaded.registry} - known):
        say(f"not installed: pip install kie-{category}")


@click.command()
@as_json
@errors_shown
def config(as_json: bool) -> None:
    """Show every setting and where its value came from."""
    from kie_core._config import load_with_origins

    rows = load_with_origins().rows()
    if as_json:
        print_json(rows)
        return
    print_table(
        ("setting", "value", "from", "variable", "meaning"),
        (
            (
                row["name"],
                "" if row["value"] is None else str(row["value"]),
                f"{row['origin']} ({row['place']})" if row["place"] else row["origin"],
                row["variable"],
                row["meaning"],
            )
            for row in rows
        ),
    )
