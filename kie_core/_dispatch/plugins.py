"""Find the installed plugins, load each behind its own guard, and call the one that owns a category.

A plugin whose package holds `MODELS` is imported when its category is first used: the file says which models there are.
All others are imported at once, because only they can say what they do.

A plugin that is broken, doubled or too new goes into quarantine: it is listed with
the reason, asking for its category raises the reason, and the others work.
"""

from __future__ import annotations

import errno
import functools
import importlib.util
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from kie_core._error import KieError
from kie_core._installed import PLUGINS, Installed, installed
from kie_core._models.model import Model
from kie_core._models.registry import Registry, from_rows, models_from_text, whole

if TYPE_CHECKING:
    import pluggy

    from kie_core._dispatch.fit import Fit, Owner

#: The models of a plugin, in the format of the bundled files. A package that holds it is not imported to be listed.
MODELS: Final = "kie_models.json"
#: A hook that takes longer holds up every job of the process.
SLOW_SECONDS: Final = 1.0

#: A package that was built without its data works, and has nothing to sell.
_BARE: Final = f"no model is of this category; is {MODELS} among the files of its package?"

log = logging.getLogger("kie_core")

Condition = Literal["ready", "broken", "duplicate", "too new", "disabled"]


@attrs.frozen
class PluginRecord:
    """What is known of one installed plugin.

    Attributes:
        name: Its entry point: the category that it owns, or any name for one that only watches.
        distribution, version: Where it comes from.
        condition: ``ready``, or why it is not used.
        reason: The same in words; of one that is ready, what is odd about it.
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
        self._records: dict[Installed, PluginRecord] = {}
        self._owners: dict[str, Owner] = {}
        self._waiting: dict[str, tuple[Installed, tuple[Model, ...]]] = {}  # by category, with the models of the file
        self._lock = threading.RLock()  # a category may be used by two threads for the first time
        self._present: pluggy.PluginManager | None = None  # with the plugins that were imported at once
        self._callers: dict[tuple[str, str], Callable[..., Any]] = {}

    @property
    def records(self) -> list[PluginRecord]:
        """What is known of each installed plugin. Imports those that wait, to tell whether they work."""
        for category in [*self._waiting]:
            self._wake(category)
        return [*self._records.values()]

    def owned(self) -> tuple[str, ...]:
        """Return the categories that have an owner; one that waits may turn out not to work."""
        return tuple(sorted({*self._owners, *self._waiting}))

    def owns(self, category: str) -> bool:
        """Tell whether *category* has a working owner."""
        from kie_core._errors import NoPlugin, PluginBroken

        try:
            self._owner(category)
        except (NoPlugin, PluginBroken):
            return False
        return True

    def wires(self, category: str) -> tuple[str, ...]:
        """Return the wires that the owner of *category* speaks beside ``v4``, its default first.

        Raises:
            NoPlugin, PluginBroken: The category has no working owner.
        """
        return self._owner(category).wires

    def call(self, category: str, hook: str, **arguments: Any) -> Any:
        """Call *hook* on the owner of *category* alone; wrappers of other plugins run around it.

        Raises:
            NoPlugin, PluginBroken: The category has no working owner.
            PluginFailed: The hook raised something that is not a `KieError`.
        """
        caller = self._callers.get((category, hook))
        if caller is None:
            caller = self._callers[category, hook] = self._owner(category).caller(hook)
        return _guarded(category, hook, caller, arguments)

    def observe(self, hook: str, **arguments: Any) -> None:
        """Tell every plugin that listens to *hook*; one that raises is logged and the others are told."""
        if self._present is None:
            return
        for implementation in getattr(self._present.hook, hook).get_hookimpls():
            wanted = {name: arguments[name] for name in implementation.argnames}
            try:
                _guarded(implementation.plugin_name, hook, implementation.function, wanted)
            except Exception as error:  # foreign code: an observer must not harm a paid job
                log.warning("%s", error)

    def _owner(self, category: str) -> Owner:
        owner = self._owners.get(category)
        if owner is not None:
            return owner
        self._wake(category)
        if category in self._owners:
            return self._owners[category]
        from kie_core._errors import NoPlugin, PluginBroken

        for record in self._records.values():
            if record.name == category and record.condition != "ready":
                raise PluginBroken(category, record.distribution, record.version, record.reason)
        raise NoPlugin(category, self.owned())

    def _wake(self, category: str) -> None:
        """Import the plugin of *category* if it waits for that."""
        with self._lock:
            if category in self._waiting:
                entry, models = self._waiting[category]
                self._note(entry, _take(entry, functools.partial(self._add_late, entry, models)))
                self._waiting.pop(category, None)  # after Ctrl-C it would still wait

    def _add(self, entry: Installed, names: Collection[str]) -> PluginRecord:
        """Take one entry point in, or raise with the reason for its quarantine."""
        models = declared(entry.module, _origin(entry))
        if models is None:
            return self._add_now(entry, names)
        if all(other.value != entry.value for other, _ in self._waiting.values()):  # one file, several categories
            self.registry = self._with(models, names)
        self._waiting[entry.name] = (entry, models)
        return _record(entry, "ready", models=len(models))

    def _add_now(self, entry: Installed, names: Collection[str]) -> PluginRecord:
        from kie_core._dispatch.fit import Owner, fit_of, manager

        plugin = entry.load()
        fit = fit_of(plugin)
        present = self._present or manager()
        if any(plugin is known.plugin for known in self._owners.values()):  # one module, several categories
            self._owners[entry.name] = Owner(plugin, present, fit.wires)
            return _record(entry, "ready", wires=fit.wires)
        models = _models_of(getattr(plugin, "register_models", None), _origin(entry))
        registry = self._with(models, names)
        present.register(plugin, name=entry.name)
        self._present, self.registry = present, registry
        if fit.owns:
            self._owners[entry.name] = Owner(plugin, present, fit.wires)
        bare = fit.owns and all(model.category != entry.name for model in registry)
        return _record(entry, "ready", _BARE if bare else "", wires=fit.wires, models=len(models))

    def _add_late(self, entry: Installed, models: tuple[Model, ...]) -> PluginRecord:
        from kie_core._dispatch.fit import Owner, fit_of, manager

        plugin = entry.load()
        fit = fit_of(plugin)
        check_late(plugin, fit)
        whole(models)
        alone = manager()
        for name, present in self._present.list_name_plugin() if self._present is not None else ():
            alone.register(present, name=name)  # for the wrappers among them
        alone.register(plugin, name=entry.name)
        self._owners[entry.name] = Owner(plugin, alone, fit.wires)
        return _record(entry, "ready", wires=fit.wires, models=len(models))

    def _with(self, models: Collection[Model], names: Collection[str]) -> Registry:
        for model in models:
            if model.category not in names:
                raise ValueError(f"its model {model.id!r} is of category {model.category!r}, which it does not own")
        return self.registry.extended(models)

    def _note(self, entry: Installed, record: PluginRecord) -> None:
        self._records[entry] = record
        if record.condition not in ("ready", "disabled"):
            log.warning(
                "plugin %r of %s %s is in quarantine: %s",
                record.name,
                record.distribution,
                record.version,
                record.reason,
            )


def load_plugins(registry: Registry, *, only: Collection[str] | None = None, disabled: Collection[str] = ()) -> Plugins:
    """Find the installed plugins and add their models to *registry*.

    Args:
        registry: The models that are known without plugins.
        only: Use no others; None: all.
        disabled: Do not use these.
    """
    plugins = Plugins(registry)
    found: dict[str, list[Installed]] = defaultdict(list)
    for entry in installed(PLUGINS):
        found[entry.name].append(entry)
    for name, entries in found.items():
        if name in disabled or (only is not None and name not in only):
            why = "KIE_DISABLE_PLUGINS names it" if name in disabled else "KIE_PLUGINS does not name it"
            records = [_record(entry, "disabled", why) for entry in entries]
        elif len(entries) > 1:
            both = " and ".join(entry.label for entry in entries)
            records = [_record(entry, "duplicate", f"{both} both claim it; uninstall one") for entry in entries]
        else:
            names = {other for other, same in found.items() if same[0].value == entries[0].value}
            records = [_take(entries[0], functools.partial(plugins._add, entries[0], names))]
        for entry, record in zip(entries, records, strict=True):
            plugins._note(entry, record)
    for name in {*(only or ()), *disabled} - found.keys() - {"none"}:
        log.warning("no plugin called %r is installed; KIE_PLUGINS or KIE_DISABLE_PLUGINS names it", name)
    return plugins


def declared(module: str, origin: str) -> tuple[Model, ...] | None:
    """Return the models that the package *module* has in a file; None: it has no such file, or is no package.

    The package is not imported; those around it are.

    Raises:
        RegistryError: The file breaks the format.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ValueError:  # it was made by hand, as a script or a test does
        return None
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return None
    return _models_in(str(Path(spec.submodule_search_locations[0], MODELS)), module, origin)


@functools.lru_cache(maxsize=64)
def _models_in(path: str, module: str, origin: str) -> tuple[Model, ...] | None:
    """Files of plugins are read once per process, as the bundled ones are."""
    spec = importlib.util.find_spec(module)
    read = getattr(spec and spec.loader, "get_data", None)  # a package may lie in an archive
    if read is None:
        return None
    try:
        content: bytes = read(path)
    except OSError as error:
        if error.errno not in (0, errno.ENOENT):  # 0 says an archive
            raise
        return None
    return tuple(models_from_text(content.decode("utf-8-sig"), path, origin=origin, later=True))


@functools.lru_cache(maxsize=64)
def _models_of(rows: Callable[[], Any] | None, origin: str) -> tuple[Model, ...]:
    """Hooks are pure: the rows of a plugin are read once per process, too. One that is half imported has none yet."""
    return tuple(from_rows(list(rows()) if rows else [], origin))


def _take(entry: Installed, add: Callable[[], PluginRecord]) -> PluginRecord:
    try:
        return add()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # foreign code runs at import and at registration, and raises whatever it likes
        from kie_core._dispatch.fit import TooNew, Unfit

        text = str(error) if isinstance(error, (KieError, Unfit)) else f"{type(error).__name__}: {error}"
        return _record(entry, "too new" if isinstance(error, TooNew) else "broken", text)


def check_late(plugin: Any, fit: Fit) -> None:
    """Refuse what does not go with being imported when the category is first used."""
    from kie_core._dispatch.fit import Unfit

    if hasattr(plugin, "register_models"):
        raise Unfit(f"brings models both by register_models() and in {MODELS}; keep one of them")
    if not fit.owns:
        raise Unfit(f"implements no category, so it would never be imported; take {MODELS} out of its package")
    early = [*(f"wraps {name!r}" for name in fit.wraps), *(f"observes {name!r}" for name in fit.observes)]
    if early:
        raise Unfit(
            f"{early[0]}, for which it would come too late: with {MODELS} it is imported when its category is first "
            f"used; move that to a module with an entry point of its own, or bring the models by register_models()"
        )


def _guarded(name: str, hook: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    started = time.perf_counter()
    try:
        return function(**arguments)
    except (KieError, KeyboardInterrupt):
        raise
    except BaseException as error:  # foreign code, whatever it raises: name the plugin, keep the cause
        from kie_core._errors import PluginFailed

        raise PluginFailed(name, hook, f"{type(error).__name__}: {error}") from error
    finally:
        took = time.perf_counter() - started
        if took > SLOW_SECONDS:
            log.warning("plugin %r took %.1f s in %s; hooks must not wait for anything", name, took, hook)


def _record(entry: Installed, condition: Condition, reason: str = "", **more: Any) -> PluginRecord:
    return PluginRecord(entry.name, *entry.origin, condition, reason, **more)


def _origin(entry: Installed) -> str:
    return f"plugin {entry.label}"
