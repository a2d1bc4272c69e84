"""``kie catalogue``: the models that Kie itself lists, as they were when that was last asked."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import click

from kie_core._cli.entries import age
from kie_core._cli.output import FAILED, as_json, errors_shown, print_json, print_table, say

if TYPE_CHECKING:
    from datetime import datetime

    from kie_core._blocking import KieBlocking
    from kie_core._catalogue.catalogue import Catalogue, Listing
    from kie_core._catalogue.drift import Drift

COLUMNS = ("model", "provider", "task types", "price")
#: After so many seconds a catalogue is called old; Kie's list changes every month.
OLD_SECONDS: Final = 7 * 86400.0


class _ShowsByDefault(click.Group):
    """What names no command is for ``show``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ShowsByDefault, invoke_without_command=True, subcommand_metavar="[WORDS]... | COMMAND [ARGS]...")
def catalogue() -> None:
    """Show the models that Kie itself lists; alone or with WORDS it does what show does. Buys nothing.

    What this installation knows and can buy is in kie models.
    """


@catalogue.command()
@click.argument("words", nargs=-1)
@as_json
@errors_shown
def show(words: tuple[str, ...], as_json: bool) -> None:
    """List what the last refresh brought; WORDS narrow the list. Needs no key, asks nobody."""
    from kie_core._catalogue.catalogue_file import catalogue_path, kept
    from kie_core._config import load_settings

    base_url = load_settings().base_url
    known = kept(catalogue_path(base_url, os.environ), base_url)
    found = known.search(*words)
    old = time.time() - known.fetched_at.timestamp()
    if as_json:
        print_json({**summary(known), "old": old > OLD_SECONDS, "models": [_listing(one) for one in found]})
    else:
        print_table(
            COLUMNS, ((one.model, one.provider, ", ".join(one.task_types), one.price_text or "") for one in found)
        )
    some = f"{len(found)} of " if words else ""
    say(f"{some}{len(known.models)} models, fetched {age(old)} ago")
    if not found:
        say("no model matches")
    _say_what_is_missing(known)
    if old > OLD_SECONDS:
        say("that is older than 7 days: kie catalogue refresh renews it")


@catalogue.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--schemas", is_flag=True, help="Also ask what each MODEL takes, or all that were not asked about today.")
@as_json
@errors_shown
def refresh(models: tuple[str, ...], schemas: bool, as_json: bool) -> None:
    """Ask Kie which models there are, and keep what it says. Needs a key; free of charge.

    What --schemas brings counts for inputs from then on (KIE_OVERLAY=false leaves it out). It takes a
    second or two for each model; after Ctrl-C what came is kept.
    """
    from kie_core._blocking import KieBlocking

    if models and not schemas:
        raise click.UsageError("MODEL goes with --schemas")
    with KieBlocking() as kie:
        fetched = kie.catalogue(refresh=True)
        problems = _schemas(kie, models) if schemas else {}
    if as_json:
        print_json({**summary(fetched), **({"without_schema": problems} if schemas else {})})
    say(f"{len(fetched.models)} models; kie catalogue lists them")
    _say_what_is_missing(fetched)


@catalogue.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--refresh", is_flag=True, help="Ask Kie for its list first.")
@click.option("--schemas", is_flag=True, help="Ask first what each model takes that was not asked about today.")
@click.option("--exit-code", is_flag=True, help="Leave with 1 if there is a difference.")
@as_json
@errors_shown
def diff(models: tuple[str, ...], refresh: bool, schemas: bool, exit_code: bool, as_json: bool) -> None:
    """Compare Kie's list with the models that this installation knows: new, gone, moved, changed.

    By what was last fetched, without asking anybody; but Kie is asked what each MODEL takes.
    """
    found, fetched_at = _drift(models, refresh=refresh, schemas=schemas)
    rows = _difference_rows(found)
    if as_json:
        print_json(
            {
                "fetched_at": fetched_at,
                "whole": found.whole,
                "new": [_listing(one) for one in found.new],
                "gone": [one.id for one in found.gone],
                "moved": dict(found.moved),
                "changed": found.changed,
            }
        )
    else:
        print_table(("what", "model", "here", "Kie"), rows)
    say(f"{len(rows)} differences, by a list that is {age(time.time() - fetched_at.timestamp())} old")
    if not found.whole:
        say("the list is not whole, so nobody can know what is gone")
    if rows and exit_code:
        sys.exit(FAILED)


def _drift(models: tuple[str, ...], *, refresh: bool, schemas: bool) -> tuple[Drift, datetime]:
    from kie_core._catalogue.catalogue_file import catalogue_path, kept
    from kie_core._catalogue.drift import drift
    from kie_core._catalogue.overlay import differing_inputs
    from kie_core._catalogue.overlay_file import kept_overlay, overlay_path
    from kie_core._config import load_settings
    from kie_core._dispatch.dispatcher import load_dispatcher

    settings = load_settings()
    if refresh or schemas or models:
        from kie_core._blocking import KieBlocking

        with KieBlocking(settings=settings) as kie:
            if refresh:
                kie.catalogue(refresh=True)
            if schemas or models:
                _schemas(kie, models)
    known = kept(catalogue_path(settings.base_url, os.environ), settings.base_url)
    registry = load_dispatcher(attrs.evolve(settings, overlay=False)).plugins.registry
    lives = kept_overlay(overlay_path(settings.base_url, os.environ), settings.base_url)
    return drift(known, registry, differing_inputs(registry, lives)), known.fetched_at


def _schemas(kie: KieBlocking, models: tuple[str, ...]) -> dict[str, str]:
    say("asking what models take, one question a second")
    problems = kie.schemas(*models)
    for name, problem in problems.items():
        say(f"{name}: {problem}")
    return problems


def _difference_rows(found: Drift) -> list[tuple[str, str, str, str]]:
    return [
        *(("new", one.model, "", one.price_text or "") for one in found.new),
        *(("gone", one.id, one.title, "") for one in found.gone),
        *(("moved", older, model, older) for older, model in found.moved.items()),
        *((one.kind, one.model, one.here, one.kie) for one in found.changed),
    ]


def summary(known: Catalogue) -> dict[str, Any]:
    """Return what is to be said of a whole catalogue, for ``--json``."""
    return {
        "count": len(known.models),
        "total": known.total,
        "skipped": known.skipped,
        "fetched_at": known.fetched_at,
    }


def _listing(one: Listing) -> dict[str, Any]:
    return {
        "model": one.model,
        "slug": one.slug or None,
        "title": one.title,
        "provider": one.provider or None,
        "task_types": one.task_types,
        "description": one.description,
        "price_text": one.price_text,
    }


def _say_what_is_missing(known: Catalogue) -> None:
    if known.skipped:
        say(f"{known.skipped} more entries of the list could not be used")
    if known.total is not None and known.total > len(known.models) + known.skipped:
        say(f"the list is not whole: Kie says that there are {known.total}")
