"""Whether an object can be a plugin, and the call of one that can.

It is tried on a manager of its own, so that a bad one leaves no trace.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

import attrs
import pluggy

from kie_core import hookspecs
from kie_core._jobs.job import Endpoint

REQUIRED: Final = ("build_payload", "endpoint_for", "parse_result")
OBSERVERS: Final = ("job_accepted", "job_updated", "job_finished")
#: Observers have nothing to wrap; and only the owner says by which messages nothing was bought.
NEVER_WRAPPED: Final = (*OBSERVERS, "refused")


class Unfit(Exception):
    """The plugin does not fit the hooks."""


class TooNew(Unfit):
    """The plugin wants newer hooks."""


@attrs.frozen
class Fit:
    """What a plugin that fits does.

    Attributes:
        owns: It answers for a category.
        wires: Those that it speaks beside ``v4``, its default first.
        wraps, observes: The hooks around which it runs, and which it hears: of all categories.
    """

    owns: bool
    wires: tuple[str, ...]
    wraps: tuple[str, ...]
    observes: tuple[str, ...]


@attrs.frozen
class Owner:
    """The plugin of a category, on a manager that nothing is added to any more: who comes later changes no call."""

    plugin: Any
    manager: pluggy.PluginManager
    wires: tuple[str, ...]

    def caller(self, hook: str) -> Callable[..., Any]:
        """Return what calls *hook* on the owner alone, with the wrappers of others around it."""
        implementations = getattr(self.manager.hook, hook).get_hookimpls()
        own = [one for one in implementations if one.plugin is self.plugin and not _is_wrapper(one)]
        if len(own) == 1 and not any(map(_is_wrapper, implementations)):  # then there is nothing to be done around it
            return _called(own[0])
        alone = manager()
        alone.register(self.plugin)
        for one in implementations:
            if one.plugin is not self.plugin and _is_wrapper(one):  # what else its plugin does is not for this category
                alone.register(_Wrapper(hook, one.function))
        caller: Callable[..., Any] = getattr(alone.hook, hook)
        return caller


class _Wrapper:
    """A plugin that does nothing but wrap *hook*."""

    def __init__(self, hook: str, function: Callable[..., Any]) -> None:
        setattr(self, hook, function)


def _called(implementation: pluggy.HookImpl) -> Callable[..., Any]:
    """Return a call by name that hands over only what the implementation takes, as pluggy does."""
    function, names = implementation.function, implementation.argnames
    return lambda **arguments: function(*[arguments[name] for name in names])


def manager() -> pluggy.PluginManager:
    """Return a manager that knows the hooks, and no plugin yet."""
    made = pluggy.PluginManager("kie_core")
    made.add_hookspecs(hookspecs.CategoryPlugin)
    made.add_hookspecs(hookspecs.OptionalHooks)
    return made


def fit_of(plugin: Any) -> Fit:
    """Return what *plugin* does.

    Raises:
        Unfit: It does not fit the hooks; says why.
    """
    wanted = getattr(plugin, "KIE_HOOKS", hookspecs.HOOKS_VERSION)
    if wanted > hookspecs.HOOKS_VERSION:
        raise TooNew(f"needs hooks {wanted}, this kie-core has {hookspecs.HOOKS_VERSION}; try: pip install -U kie-core")
    try:
        hash(plugin)
    except TypeError:
        raise Unfit("the plugin object cannot be hashed; use a module, or attrs.frozen") from None
    wires = tuple(_endpoints(plugin))
    trial = manager()
    trial.register(plugin)
    known = set(vars(trial.hook)) - {"_pm"}
    specified = {name for name in known if getattr(trial.hook, name).has_spec()}
    for name in sorted(known - specified):
        near = get_close_matches(name, specified, 1)
        raise Unfit(f"implements an unknown hook {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    made, wrapped = _implemented(trial, specified)
    return Fit(
        owns=_owns(plugin, made, wrapped),
        wires=wires,
        wraps=tuple(sorted(wrapped)),
        observes=tuple(name for name in OBSERVERS if name in made),
    )


def _is_wrapper(implementation: pluggy.HookImpl) -> bool:
    return implementation.wrapper or implementation.hookwrapper


def _implemented(trial: pluggy.PluginManager, specified: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the hooks that the plugin implements, and those that it wraps."""
    made, wrapped = set(), set()
    for name in specified:
        for implementation in getattr(trial.hook, name).get_hookimpls():
            if inspect.iscoroutinefunction(implementation.function):
                raise Unfit(f"hook {name!r} is async; hooks are plain functions")
            if not _is_wrapper(implementation):
                made.add(name)
            elif name in NEVER_WRAPPED:
                raise Unfit(f"wraps {name!r}, which nobody may wrap")
            else:
                wrapped.add(name)
    return made, wrapped


def _owns(plugin: Any, made: Collection[str], wrapped: Collection[str]) -> bool:
    missing = [name for name in REQUIRED if name not in made]
    bare = [name for name in missing if name not in wrapped and callable(getattr(plugin, name, None))]
    if bare:
        raise Unfit(f"lacks @hookimpl on {', '.join(bare)}")
    if missing and len(missing) < len(REQUIRED):
        raise Unfit(f"lacks {', '.join(missing)}")
    if not missing and not hasattr(plugin, "ENDPOINTS"):
        raise Unfit("lacks ENDPOINTS; a plugin that speaks no wire but v4 says ENDPOINTS = {}")
    return not missing


def _endpoints(plugin: Any) -> Mapping[str, Endpoint]:
    endpoints = getattr(plugin, "ENDPOINTS", {})
    fits = isinstance(endpoints, Mapping) and all(
        isinstance(wire, str) and isinstance(endpoint, Endpoint) for wire, endpoint in endpoints.items()
    )
    if not fits:
        raise Unfit("ENDPOINTS is not a mapping of wire to Endpoint")
    if "v4" in endpoints:
        raise Unfit("ENDPOINTS names the wire 'v4', which is the core's own")
    return endpoints
