"""Find the installed plugins, load each behind its own guard, and call the one that owns a category.

A plugin that is broken, doubled or too new goes into quarantine: it is listed with
the reason, asking for its category raises the reason, and the others work.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal

import attrs
import pluggy

from kie_core import hookspecs
from kie_core._errors import KieError, NoPlugin, PluginBroken, PluginFailed
from kie_core._job import Endpoint
from kie_core._registry import Registry, from_rows

GROUP: Final = "kie_core.plugins"
REQUIRED: Final = ("build_payload", "endpoint_for", "parse_result")
#: Observers have nothing to wrap; and only the owner says by which messages nothing was bought.
NEVER_WRAPPED: Final = ("job_accepted", "job_updated", "job_finished", "refused")
#: A hook that takes longer holds up every job of the process.
SLOW_SECONDS: Final = 1.0

log = logging.getLogger("kie_core")

Condition = Literal["ready", "broken", "duplicate", "too new", "disabled"]


@attrs.frozen
class PluginRecord:
    """What is known of one installed plugin.

    Attributes:
        name: Its entry point: the category that it owns, or any name for one that only watches.
        distribution, version: Where it comes from.
        condition: ``ready``, or why it is not used.
        reason: The same in words.
        wires: The wires that it speaks, its default first; ``v4`` is the core's.
        models: How many models it brought, beside those of the bundled registry.
    """

    name: str
    distribution: str
    version: str
    condition: Condition
    reason: str = ""
    wires: tuple[str, ...] = ()
    models: int = 0


class Plugins:
    """The plugins of one dispatcher, and the registry with the models that they brought."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.records: list[PluginRecord] = []
        self._manager = _manager()
        self._owners: dict[str, Any] = {}
        self._callers: dict[tuple[str, str], Callable[..., Any]] = {}

    def owned(self) -> tuple[str, ...]:
        """Return the categories that have a working owner."""
        return tuple(sorted(self._owners))

    def wires(self, category: str) -> tuple[str, ...]:
        """Return the wires that the owner of *category* speaks beside ``v4``, its default first.

        Raises:
            NoPlugin, PluginBroken: The category has no working owner.
        """
        return tuple(_endpoints(self._owner(category)))

    def call(self, category: str, hook: str, **arguments: Any) -> Any:
        """Call *hook* on the owner of *category* alone; wrappers of other plugins run around it.

        Raises:
            NoPlugin, PluginBroken: The category has no working owner.
            PluginFailed: The hook raised something that is not a `KieError`.
        """
        caller = self._callers.get((category, hook))
        if caller is None:
            owner = self._owner(category)
            implementations = getattr(self._manager.hook, hook).get_hookimpls()
            others = {
                id(one.plugin): one.plugin for one in implementations if not _wraps(one) and one.plugin is not owner
            }
            caller = self._manager.subset_hook_caller(hook, others.values())
            self._callers[category, hook] = caller
        return _guarded(category, hook, caller, arguments)

    def observe(self, hook: str, **arguments: Any) -> None:
        """Tell every plugin that listens to *hook*; one that raises is logged and the others are told."""
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            wanted = {name: arguments[name] for name in implementation.argnames}
            try:
                _guarded(implementation.plugin_name, hook, implementation.function, wanted)
            except Exception as error:  # foreign code: an observer must not harm a paid job
                log.warning("%s", error)

    def _owner(self, category: str) -> Any:
        owner = self._owners.get(category)
        if owner is not None:
            return owner
        for record in self.records:
            if record.name == category and record.condition != "ready":
                raise PluginBroken(category, record.distribution, record.version, record.reason)
        raise NoPlugin(category, self.owned())

    def _add(self, entry: EntryPoint, names: Collection[str]) -> PluginRecord:
        """Load one entry point and take it in, or raise with the reason for its quarantine."""
        plugin = entry.load()
        endpoints = _endpoints(plugin)
        owns = check_fit(plugin)
        if any(plugin is known for known in self._owners.values()):  # one module, several categories
            self._owners[entry.name] = plugin
            return _record(entry, "ready", wires=tuple(endpoints))
        rows = getattr(plugin, "register_models", None)
        models = from_rows(list(rows()) if rows else [], f"plugin {_label(entry)}")
        for model in models:
            if model.category not in names:
                raise ValueError(f"its model {model.id!r} is of category {model.category!r}, which it does not own")
        registry = self.registry.extended(models)
        self._manager.register(plugin, name=entry.name)
        self.registry = registry
        if owns:
            self._owners[entry.name] = plugin
        return _record(entry, "ready", wires=tuple(endpoints), models=len(models))


def load_plugins(registry: Registry, *, only: Collection[str] | None = None, disabled: Collection[str] = ()) -> Plugins:
    """Load the installed plugins and add their models to *registry*.

    Args:
        registry: The models that are known without plugins.
        only: Load no others; None: all.
        disabled: Do not load these.
    """
    plugins = Plugins(registry)
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _label(entry))):
        found[entry.name].append(entry)
    for name, entries in found.items():
        if name in disabled or (only is not None and name not in only):
            why = "KIE_DISABLE_PLUGINS names it" if name in disabled else "KIE_PLUGINS does not name it"
            plugins.records += [_record(entry, "disabled", why) for entry in entries]
        elif len(entries) > 1:
            both = " and ".join(map(_label, entries))
            plugins.records += [
                _record(entry, "duplicate", f"{both} both claim it; uninstall one") for entry in entries
            ]
        else:
            names = {other for other, same in found.items() if same[0].value == entries[0].value}
            plugins.records.append(_take(plugins, entries[0], names))
    for name in {*(only or ()), *disabled} - found.keys() - {"none"}:
        log.warning("no plugin called %r is installed; KIE_PLUGINS or KIE_DISABLE_PLUGINS names it", name)
    for record in plugins.records:
        if record.condition not in ("ready", "disabled"):
            log.warning(
                "plugin %r of %s %s is in quarantine: %s",
                record.name,
                record.distribution,
                record.version,
                record.reason,
            )
    return plugins


def _take(plugins: Plugins, entry: EntryPoint, names: Collection[str]) -> PluginRecord:
    try:
        return plugins._add(entry, names)
    except _TooNew as error:
        return _record(entry, "too new", str(error))
    except (Exception, SystemExit, GeneratorExit) as error:  # foreign code runs at import and at registration
        text = str(error) if isinstance(error, (KieError, _Unfit)) else f"{type(error).__name__}: {error}"
        return _record(entry, "broken", text)


class _Unfit(Exception):
    """The plugin does not fit the hooks."""


class _TooNew(_Unfit):
    """The plugin wants newer hooks."""


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager("kie_core")
    manager.add_hookspecs(hookspecs.CategoryPlugin)
    manager.add_hookspecs(hookspecs.OptionalHooks)
    return manager


def check_fit(plugin: Any) -> bool:
    """Try *plugin* on a manager of its own, so that a bad one leaves no trace. Tell whether it owns a category.

    Raises:
        _Unfit: It does not fit the hooks; says why.
    """
    wanted = getattr(plugin, "KIE_HOOKS", hookspecs.HOOKS_VERSION)
    if wanted > hookspecs.HOOKS_VERSION:
        raise _TooNew(
            f"needs hooks {wanted}, this kie-core has {hookspecs.HOOKS_VERSION}; try: pip install -U kie-core"
        )
    try:
        hash(plugin)
    except TypeError:
        raise _Unfit("the plugin object cannot be hashed; use a module, or attrs.frozen") from None
    trial = _manager()
    trial.register(plugin)
    known = set(vars(trial.hook)) - {"_pm"}
    specified = {name for name in known if getattr(trial.hook, name).has_spec()}
    for name in sorted(known - specified):
        near = get_close_matches(name, specified, 1)
        raise _Unfit(f"implements an unknown hook {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return _owns(plugin, trial, specified)


def _owns(plugin: Any, trial: pluggy.PluginManager, specified: Collection[str]) -> bool:
    made = set()
    for name in specified:
        for implementation in getattr(trial.hook, name).get_hookimpls():
            if inspect.iscoroutinefunction(implementation.function):
                raise _Unfit(f"hook {name!r} is async; hooks are plain functions")
            if not _wraps(implementation):
                made.add(name)
            elif name in NEVER_WRAPPED:
                raise _Unfit(f"wraps {name!r}, which nobody may wrap")
    missing = [name for name in REQUIRED if name not in made]
    wrapped = {caller.name for caller in trial.get_hookcallers(plugin) or ()}
    bare = [name for name in missing if name not in wrapped and callable(getattr(plugin, name, None))]
    if bare:
        raise _Unfit(f"lacks @hookimpl on {', '.join(bare)}")
    if missing and len(missing) < len(REQUIRED):
        raise _Unfit(f"lacks {', '.join(missing)}")
    if not missing and not hasattr(plugin, "ENDPOINTS"):
        raise _Unfit("lacks ENDPOINTS; a plugin that speaks no wire but v4 says ENDPOINTS = {}")
    return not missing


def _wraps(implementation: pluggy.HookImpl) -> bool:
    return implementation.wrapper or implementation.hookwrapper


def _endpoints(plugin: Any) -> Mapping[str, Endpoint]:
    endpoints = getattr(plugin, "ENDPOINTS", {})
    fits = isinstance(endpoints, Mapping) and all(
        isinstance(wire, str) and isinstance(endpoint, Endpoint) for wire, endpoint in endpoints.items()
    )
    if not fits:
        raise _Unfit("ENDPOINTS is not a mapping of wire to Endpoint")
    if "v4" in endpoints:
        raise _Unfit("ENDPOINTS names the wire 'v4', which is the core's own")
    return endpoints


def _guarded(name: str, hook: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    started = time.perf_counter()
    try:
        return function(**arguments)
    except (KieError, KeyboardInterrupt):
        raise
    except BaseException as error:  # foreign code, whatever it raises: name the plugin, keep the cause
        raise PluginFailed(name, hook, f"{type(error).__name__}: {error}") from error
    finally:
        took = time.perf_counter() - started
        if took > SLOW_SECONDS:
            log.warning("plugin %r took %.1f s in %s; hooks must not wait for anything", name, took, hook)


def _record(entry: EntryPoint, condition: Condition, reason: str = "", **more: Any) -> PluginRecord:
    return PluginRecord(entry.name, *_origin(entry), condition, reason, **more)


def _origin(entry: EntryPoint) -> tuple[str, str]:
    distribution = entry.dist
    if distribution is None or not distribution.metadata or not distribution.metadata["Name"]:
        return "unknown", ""
    return distribution.name, distribution.version


def _label(entry: EntryPoint) -> str:
    return " ".join(_origin(entry)).strip()
