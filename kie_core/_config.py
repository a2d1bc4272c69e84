"""Settings: flag > environment > ./kie.toml > the user's file > default, each with its origin.

A project's ``kie.toml`` may not say where the key, the money or the code goes: whoever
clones a folder must not be redirected by it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import attrs

from kie_core._secret import MASK, Secret, checked_key, without_password

PROJECT_FILE: Final = "kie.toml"
#: Seconds; a create that is given up before Kie answered is a job of which nobody knows.
SHORTEST_CREATE: Final = 10.0
#: Settings whose values are never shown.
SECRET: Final = frozenset({"api_key", "webhook_keys"})


def _url(value: Any) -> str:
    parts = urlsplit(value if isinstance(value, str) else "")
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", value):
        raise ValueError("expected a URL such as https://api.kie.ai")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise ValueError("expected a URL without ? and #")
    if parts.port == 0:  # a port that is no number, or too large, raises by itself
        raise ValueError("expected a port from 1 to 65535")
    if parts.username or parts.password:
        raise ValueError("expected a URL without a user name or password")
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ValueError("expected https, because the key travels there; http is for this machine only")
    usual = ":443" if parts.scheme == "https" else ":80"  # one place has one spelling: an account is named after it
    return urlunsplit((parts.scheme, parts.netloc.lower().removesuffix(usual), parts.path.rstrip("/"), "", ""))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text")
    return value.strip()


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise ValueError("expected names, separated by commas")
    return tuple(name.strip() for name in value if name.strip())


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if isinstance(value, bool) or not 0 < seconds <= 10_000_000:
        raise ValueError("expected a number of seconds above 0")
    return seconds


def _patient_seconds(value: Any) -> float:
    seconds = _seconds(value)
    if seconds < SHORTEST_CREATE:
        raise ValueError(f"expected at least {SHORTEST_CREATE:g} seconds: giving up on a create early may cost a job")
    return seconds


def _rate(value: Any) -> Decimal:
    try:
        rate = Decimal(str(value))
    except InvalidOperation:
        rate = Decimal(0)
    if isinstance(value, bool) or not (rate.is_finite() and 0 < rate < 1_000_000):
        raise ValueError("expected a number above 0")
    return rate


def _limit(value: Any) -> Decimal:
    from kie_core._budget import roubles_of

    roubles = roubles_of(value)
    assert roubles is not None
    return roubles


def _account(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._@-]{1,64}", value):
        raise ValueError("expected 1 to 64 letters, digits, '.', '_', '@' or '-'")
    return value


def _count(value: Any) -> int:
    try:
        count = int(str(value))
    except ValueError:
        count = 0
    if isinstance(value, bool) or not 1 <= count <= 100_000:
        raise ValueError("expected a whole number from 1 to 100000")
    return count


def yes_or_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).strip().lower() not in _WORDS:
        raise ValueError("expected true or false")
    return _WORDS[str(value).strip().lower()]


_WORDS: Final = {
    "true": True,
    "yes": True,
    "1": True,
    "on": True,
    "false": False,
    "no": False,
    "0": False,
    "off": False,
}


def _library(value: Any) -> str:
    if value not in ("httpx", "aiohttp"):
        raise ValueError("expected httpx or aiohttp")
    return str(value)


def _secrets(value: Any) -> tuple[Secret, ...]:
    if isinstance(value, Secret):
        return (value,)
    if isinstance(value, (list, tuple)) and all(isinstance(one, Secret) for one in value):
        return tuple(value)
    return tuple(checked_key(name) for name in _names(value))


def _ledger(value: Any) -> str:
    text = _text(str(value) if isinstance(value, Path) else value)
    if text == "memory:" or text.startswith(("postgres://", "postgresql://")):
        return text
    if "://" in text or text.lower().startswith(("file:", "sqlite:", "postgres:", "postgresql:")):
        raise ValueError("expected a path, memory: or postgresql://...")
    return str(Path(_path(text)).absolute())


def _path(value: Any) -> Path:
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def _setting(env: str, read: Callable[[Any], Any], default: Any, doc: str, *, project: bool = True) -> Any:
    metadata = {"env": env, "read": read, "doc": doc, "project": project}
    return attrs.field(default=default, repr=lambda value: without_password(repr(value)), metadata=metadata)


@attrs.frozen(kw_only=True)
class Settings:
    """All settings, checked. Make one with `load_settings`, or directly with values of the right type."""

    api_key: Secret | None = _setting(
        "KIE_API_KEY",
        lambda value: checked_key(_text(value)),
        None,
        "the key; from https://kie.ai/api-key",
        project=False,
    )
    former_keys: tuple[Secret, ...] = _setting(
        "KIE_FORMER_KEYS",
        _secrets,
        (),
        "keys that the account had before: callbacks and records of their jobs are recognised",
        project=False,
    )
    base_url: str = _setting(
        "KIE_BASE_URL", _url, "https://api.kie.ai", "where the API is; a path prefix is kept", project=False
    )
    upload_url: str = _setting(
        "KIE_UPLOAD_URL", _url, "https://kieai.redpandaai.co", "where files are uploaded", project=False
    )
    callback_url: str | None = _setting(
        "KIE_CALLBACK_URL", _url, None, "where Kie is to report finished tasks", project=False
    )
    registry: Path | None = _setting(
        "KIE_REGISTRY", _path, None, "a registry file of your own, added to the bundled ones", project=False
    )
    plugins: tuple[str, ...] | None = _setting("KIE_PLUGINS", _names, None, "load these plugins only", project=False)
    disable_plugins: tuple[str, ...] = _setting(
        "KIE_DISABLE_PLUGINS", _names, (), "do not load these plugins", project=False
    )
    overlay: bool = _setting(
        "KIE_OVERLAY",
        yes_or_no,
        True,
        "let what Kie's live schemas said count for inputs: kie catalogue refresh --schemas",
        project=False,
    )
    wire: str | None = _setting("KIE_WIRE", _text, None, "the wire to prefer: dedicated, jobs or v4")
    out: Path = _setting("KIE_OUT", _path, Path("kie-out"), "the folder for results", project=False)
    http_library: str = _setting(
        "KIE_HTTP_LIBRARY",
        _library,
        "httpx",
        "who carries questions: httpx, or aiohttp for thousands of jobs: pip install 'kie-core[aiohttp]'",
        project=False,
    )
    request_timeout: float = _setting("KIE_REQUEST_TIMEOUT", _seconds, 30.0, "seconds for one question to Kie")
    create_timeout: float = _setting(
        "KIE_CREATE_TIMEOUT", _patient_seconds, 120.0, "seconds for the answer to a create, at least 10", project=False
    )
    job_deadline: float | None = _setting(
        "KIE_JOB_DEADLINE",
        _seconds,
        None,
        "seconds after which a job is not asked about any more; by default one hour, for video two",
    )
    wait_timeout: float | None = _setting(
        "KIE_WAIT_TIMEOUT", _seconds, None, "seconds to wait for a result; by default 15 minutes, for video 30"
    )
    ledger: str | None = _setting(
        "KIE_LEDGER",
        _ledger,
        None,
        "where jobs and their prices are kept: a file, memory: or postgresql://...; by default a file of yours",
        project=False,
    )
    account: str | None = _setting(
        "KIE_ACCOUNT",
        _account,
        None,
        "what the ledger calls the account, so that a new key changes nothing; by default a hash of address and key",
        project=False,
    )
    ledger_prompts: bool | None = _setting(
        "KIE_LEDGER_PROMPTS",
        yes_or_no,
        None,
        "keep inputs in the ledger; by default yes in a file, no on a server",
        project=False,
    )
    lease: float = _setting(
        "KIE_LEASE", _seconds, 60.0, "seconds after which a silent process is taken for dead", project=False
    )
    creates_per_10_seconds: int = _setting(
        "KIE_CREATES_PER_10_SECONDS", _count, 20, "how many creates Kie admits for the account", project=False
    )
    concurrency: int = _setting(
        "KIE_CONCURRENCY", _count, 100, "how many jobs of the account may run at once", project=False
    )
    polls_per_second: int = _setting(
        "KIE_POLLS_PER_SECOND", _count, 500, "how many questions about running jobs a client asks in a second"
    )
    max_price_rub: Decimal | None = _setting(
        "KIE_MAX_PRICE_RUB", _limit, None, "roubles that one job may cost", project=False
    )
    max_total_budget_rub: Decimal | None = _setting(
        "KIE_MAX_TOTAL_BUDGET_RUB",
        _limit,
        None,
        "roubles that all jobs of the account may cost, until `kie budget reset`",
        project=False,
    )
    webhook_keys: tuple[Secret, ...] = _setting(
        "KIE_WEBHOOK_KEYS",
        _secrets,
        (),
        "the keys by which Kie signs callbacks, the new one first; from https://kie.ai/settings",
        project=False,
    )
    rub_per_usd: Decimal = _setting(
        "KIE_RUB_PER_USD", _rate, Decimal("78.58546168958742"), "the exchange rate of prices in roubles", project=False
    )
    markup: Decimal = _setting(
        "KIE_MARKUP", _rate, Decimal(2), "the factor between Kie's price and the price in roubles", project=False
    )

    @property
    def all_keys(self) -> tuple[Secret, ...]:
        """The key and the former ones."""
        return (*([] if self.api_key is None else [self.api_key]), *self.former_keys)


@attrs.frozen
class Origin:
    """Where a value came from: ``flag``, ``environment``, ``project``, ``user`` or ``default``, and the place."""

    kind: str
    place: str


@attrs.frozen
class Loaded:
    """Settings and the origin of each."""

    settings: Settings
    origins: Mapping[str, Origin]

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per setting for `kie config`: name, value (the key masked), origin, variable, meaning."""
        return [
            {
                "name": field.name,
                "value": _shown(getattr(self.settings, field.name)),
                "origin": self.origins[field.name].kind,
                "place": self.origins[field.name].place,
                "variable": field.metadata["env"],
                "meaning": field.metadata["doc"],
            }
            for field in attrs.fields(Settings)
        ]


def load_settings(
    flags: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Settings:
    """Read all sources and check every value.

    Args:
        flags: What the caller says; None counts as not said.
        environ: The environment; None: this process's.
        folder: Where ``kie.toml`` is looked for; None: the working folder.

    Raises:
        ConfigError: With every fault of every source.
    """
    return load_with_origins(flags, environ=environ, folder=folder).settings


def given_settings(api_key: str | None, others: Mapping[str, Any]) -> Settings:
    """Read all sources under what a caller says by name.

    Raises:
        TypeError: There is no such setting.
        ConfigError: As for `load_settings`.
    """
    unknown = [name for name in others if name not in _FIELDS]
    if unknown:
        raise TypeError(f"unknown setting {unknown[0]!r}; known are {', '.join(_FIELDS)}")
    return load_settings({"api_key": api_key, **others})


def load_with_origins(
    flags: Mapping[str, Any] | None = None, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Loaded:
    """Do what `load_settings` does, and say where each value came from."""
    environ = os.environ if environ is None else environ
    user, project = user_file(environ), (folder or Path()) / PROJECT_FILE
    faults: list[str] = []
    layers: list[tuple[str, str, Mapping[str, Any]]] = [
        ("flag", "", {name: value for name, value in (flags or {}).items() if value is not None}),
        (
            "environment",
            "",
            {
                name: environ[field.metadata["env"]]
                for name, field in _FIELDS.items()
                if environ.get(field.metadata["env"], "").strip()
            },
        ),
        ("project", str(project), _read(project, faults, project=True)),
        ("user", str(user), _read(user, faults, project=False)),
    ]
    values: dict[str, Any] = {}
    origins = {name: Origin("default", "") for name in _FIELDS}
    for name, field in _FIELDS.items():
        for kind, place, layer in layers:
            if name in layer:
                origins[name] = Origin(kind, place or (field.metadata["env"] if kind == "environment" else "argument"))
                try:
                    values[name] = (
                        layer[name] if isinstance(layer[name], Secret) else field.metadata["read"](layer[name])
                    )
                except ValueError as error:
                    shown = MASK if name in SECRET else without_password(repr(layer[name]))
                    faults.append(f"{name} = {shown} (from {origins[name].place}): {error}")
                break
    if faults:
        from kie_core._errors import ConfigError

        raise ConfigError(tuple(faults))
    return Loaded(Settings(**values), origins)


_FIELDS: Final[dict[str, Any]] = {field.name: field for field in attrs.fields(Settings)}


def default_ledger(environ: Mapping[str, str]) -> Path:
    """Return where the ledger is unless ``KIE_LEDGER`` says otherwise."""
    return Path(environ.get("KIE_STATE_DIR") or _folder("state")) / "ledger.sqlite"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Return where things are kept that can be fetched again."""
    return Path(environ.get("KIE_CACHE_DIR") or _folder("cache"))


def user_file(environ: Mapping[str, str]) -> Path:
    """Return where the user's own configuration file is, or would be."""
    return Path(environ.get("KIE_CONFIG_DIR") or _folder("config")) / "config.toml"


#: Where folders of a kind are on Linux. Source: XDG Base Directory Specification 0.8.
_XDG: Final = {
    "state": ("XDG_STATE_HOME", ".local/state"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "config": ("XDG_CONFIG_HOME", ".config"),
}


def _folder(kind: str) -> Path:
    """Return the user's folder of a kind. What platformdirs loads on Linux is a tenth of `kie models`."""
    if sys.platform == "linux" and "ANDROID_ROOT" not in os.environ:
        variable, usual = _XDG[kind]
        said = Path(os.environ.get(variable, ""))
        return (said if said.is_absolute() else Path.home() / usual) / "kie"
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_dir")("kie"))


def _read(path: Path, faults: list[str], *, project: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        faults.append(f"{path}: cannot be read: {error}")
        return {}
    import tomllib
    from difflib import get_close_matches

    try:
        table = tomllib.loads(text)
    except ValueError as error:
        faults.append(f"{path}: cannot be read: {error}")
        return {}
    for name in list(table):
        field = _FIELDS.get(name)
        if field is None:
            near = get_close_matches(name, _FIELDS, 1)
            faults.append(
                f"{path}: unknown setting {name!r}"
                + (f"; did you mean {near[0]!r}?" if near else "; `kie config` lists all")
            )
        elif project and not field.metadata["project"]:
            faults.append(
                f"{path}: a project may not set {name!r}, so that a cloned folder cannot redirect your key, money "
                f"or code; use {field.metadata['env']} or your own file"
            )
        else:
            continue
        del table[name]
    if SECRET & table.keys() and os.name == "posix" and path.stat().st_mode & 0o077:
        faults.append(f"{path}: holds a key and others can read it; try: chmod 600 {path}")
    return table


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, tuple) and any(isinstance(one, Secret) for one in value):
        return [MASK] * len(value)
    if isinstance(value, (Path, Decimal)):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
