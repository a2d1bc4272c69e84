"""Every model of this installation: the bundled ones, the user's own, those of plugins, and live schemas over them."""

from __future__ import annotations

import logging
import os
from typing import Final

from kie_core._config import Settings, cache_folder
from kie_core._dispatch.plugins import Plugins, load_plugins
from kie_core._models.registry import Registry, bundled, from_file

#: How the files begin that `kie_core._catalogue.overlay_file` keeps.
_OVERLAY: Final = "overlay-"

log = logging.getLogger("kie_core")


def load_models(settings: Settings) -> Plugins:
    """Load registries and plugins as *settings* say.

    Raises:
        RegistryError: The user's registry file is broken or clashes.
    """
    registry = bundled()
    if settings.registry is not None:
        registry = registry.extended(from_file(settings.registry))
    plugins = load_plugins(registry, only=settings.plugins, disabled=settings.disable_plugins)
    if settings.overlay:
        plugins.registry = with_overlay(plugins.registry, settings.base_url)
    return plugins


def with_overlay(registry: Registry, base_url: str) -> Registry:
    """Return *registry* with what the live schemas of *base_url* said, where any were asked for."""
    try:
        if not any(file.name.startswith(_OVERLAY) for file in cache_folder(os.environ).iterdir()):
            return registry  # most have none, and need not load what reads them
    except OSError:
        return registry
    from kie_core._catalogue.overlay import overlaid
    from kie_core._catalogue.overlay_file import kept_overlay, overlay_path

    lives = kept_overlay(overlay_path(base_url, os.environ), base_url)
    if not lives:
        return registry
    made, problems = overlaid(registry, lives)
    for problem in problems:
        log.warning("the live schema of a model is ignored: %s", problem)
    return made
