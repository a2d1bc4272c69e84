"""kie-core: buy pictures, songs and videos from Kie.ai, once.

>>> async with Kie() as kie:
...     task = await kie.generate("gpt-4o-image", {"prompt": "a cute cat"})
...     paths = await task.save("pictures")

Names are loaded when they are first used, so importing this package costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # what `typing` says; loading that is most of what this package would cost

if TYPE_CHECKING:
    from kie_core._blocking import BlockingTask as BlockingTask
    from kie_core._blocking import Interrupted as Interrupted
    from kie_core._blocking import KieBlocking as KieBlocking
    from kie_core._budget import Balance as Balance
    from kie_core._budget import Budget as Budget
    from kie_core._budget import Limit as Limit
    from kie_core._catalogue.catalogue import Catalogue as Catalogue
    from kie_core._catalogue.catalogue import Listing as Listing
    from kie_core._client import Kie as Kie
    from kie_core._config import Settings as Settings
    from kie_core._config import load_settings as load_settings
    from kie_core._dispatch.dispatcher import Dispatcher as Dispatcher
    from kie_core._dispatch.dispatcher import load_dispatcher as load_dispatcher
    from kie_core._dispatch.rename import camel_case as camel_case
    from kie_core._dispatch.rename import rename as rename
    from kie_core._errors import BadHandle as BadHandle
    from kie_core._errors import ClientClosed as ClientClosed
    from kie_core._errors import ConfigError as ConfigError
    from kie_core._errors import Fault as Fault
    from kie_core._errors import InvalidJob as InvalidJob
    from kie_core._errors import JobFailed as JobFailed
    from kie_core._errors import JobKeyTaken as JobKeyTaken
    from kie_core._errors import KieError as KieError
    from kie_core._errors import LedgerError as LedgerError
    from kie_core._errors import Maintenance as Maintenance
    from kie_core._errors import ModelGone as ModelGone
    from kie_core._errors import NoCatalogue as NoCatalogue
    from kie_core._errors import NoKey as NoKey
    from kie_core._errors import NoPlugin as NoPlugin
    from kie_core._errors import NotSent as NotSent
    from kie_core._errors import OutOfCredits as OutOfCredits
    from kie_core._errors import OverBudget as OverBudget
    from kie_core._errors import PluginBroken as PluginBroken
    from kie_core._errors import PluginFailed as PluginFailed
    from kie_core._errors import RateLimited as RateLimited
    from kie_core._errors import ReadFailed as ReadFailed
    from kie_core._errors import ReadRefused as ReadRefused
    from kie_core._errors import RecordMissing as RecordMissing
    from kie_core._errors import Refused as Refused
    from kie_core._errors import RegistryError as RegistryError
    from kie_core._errors import SaveFailed as SaveFailed
    from kie_core._errors import SubmitUnknown as SubmitUnknown
    from kie_core._errors import Unauthorized as Unauthorized
    from kie_core._errors import UnknownJob as UnknownJob
    from kie_core._errors import UnknownModel as UnknownModel
    from kie_core._errors import UnknownWire as UnknownWire
    from kie_core._errors import UploadFailed as UploadFailed
    from kie_core._errors import WaitTimeout as WaitTimeout
    from kie_core._errors import WrongState as WrongState
    from kie_core._files.upload import Upload as Upload
    from kie_core._jobs.answer import JOBS_REFUSED as JOBS_REFUSED
    from kie_core._jobs.job import Endpoint as Endpoint
    from kie_core._jobs.job import Job as Job
    from kie_core._jobs.job import jobs_body as jobs_body
    from kie_core._jobs.outcome import Artifact as Artifact
    from kie_core._jobs.outcome import Failure as Failure
    from kie_core._jobs.outcome import Outcome as Outcome
    from kie_core._jobs.outcome import SavedFile as SavedFile
    from kie_core._jobs.outcome import State as State
    from kie_core._jobs.outcome import failure as failure
    from kie_core._jobs.outcome import flag_outcome as flag_outcome
    from kie_core._jobs.outcome import jobs_outcome as jobs_outcome
    from kie_core._jobs.outcome import part as part
    from kie_core._jobs.outcome import record as record
    from kie_core._jobs.outcome import seconds_between as seconds_between
    from kie_core._jobs.outcome import urls_of as urls_of
    from kie_core._ledger.entry import Entry as Entry
    from kie_core._ledger.entry import Inputs as Inputs
    from kie_core._ledger.entry import JobState as JobState
    from kie_core._ledger.entry import Plan as Plan
    from kie_core._ledger.gates import Gate as Gate
    from kie_core._ledger.ledger import Event as Event
    from kie_core._ledger.stats import ModelStats as ModelStats
    from kie_core._models.field import Field as Field
    from kie_core._models.model import JSON as JSON
    from kie_core._models.model import Model as Model
    from kie_core._models.price import Price as Price
    from kie_core._models.registry import Registry as Registry
    from kie_core._pace import Pace as Pace
    from kie_core._payload import Payload as Payload
    from kie_core._running.step import Step as Step
    from kie_core._task import Task as Task
    from kie_core._wait import Clock as Clock
    from kie_core._wait import Schedule as Schedule
    from kie_core.hookspecs import CategoryPlugin as CategoryPlugin
    from kie_core.hookspecs import hookimpl as hookimpl

#: Public name -> the module that has it.
_HOMES = {
    "_blocking": ("BlockingTask", "Interrupted", "KieBlocking"),
    "_budget": ("Balance", "Budget", "Limit"),
    "_catalogue.catalogue": ("Catalogue", "Listing"),
    "_client": ("Kie",),
    "_config": ("Settings", "load_settings"),
    "_dispatch.dispatcher": ("Dispatcher", "load_dispatcher"),
    "_dispatch.rename": ("camel_case", "rename"),
    "_errors": (
        "BadHandle", "ClientClosed", "ConfigError", "Fault", "InvalidJob", "JobFailed", "JobKeyTaken", "KieError",
        "LedgerError", "Maintenance", "ModelGone", "NoCatalogue", "NoKey", "NoPlugin", "NotSent", "OutOfCredits",
        "OverBudget", "PluginBroken", "PluginFailed", "RateLimited", "ReadFailed", "ReadRefused", "RecordMissing",
        "Refused", "RegistryError", "SaveFailed", "SubmitUnknown", "Unauthorized", "UnknownJob", "UnknownModel",
        "UnknownWire", "UploadFailed", "WaitTimeout", "WrongState",
    ),
    "_files.upload": ("Upload",),
    "_jobs.answer": ("JOBS_REFUSED",),
    "_jobs.job": ("Endpoint", "Job", "jobs_body"),
    "_jobs.outcome": (
        "Artifact", "Failure", "Outcome", "SavedFile", "State", "failure", "flag_outcome", "jobs_outcome", "part",
        "record", "seconds_between", "urls_of",
    ),
    "_ledger.entry": ("Entry", "Inputs", "JobState", "Plan"),
    "_ledger.gates": ("Gate",),
    "_ledger.ledger": ("Event",),
    "_ledger.stats": ("ModelStats",),
    "_models.field": ("Field",),
    "_models.model": ("JSON", "Model"),
    "_models.price": ("Price",),
    "_models.registry": ("Registry",),
    "_pace": ("Pace",),
    "_payload": ("Payload",),
    "_running.step": ("Step",),
    "_task": ("Task",),
    "_wait": ("Clock", "Schedule"),
    "hookspecs": ("CategoryPlugin", "hookimpl"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])  # noqa: PLE0605  (a test compares it with the documented names)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
