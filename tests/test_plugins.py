"""Plugins: one that is broken, doubled or too new goes into quarantine, and the others work."""

from __future__ import annotations

import builtins
import importlib
import sys
import threading
import types
import zipfile
from pathlib import Path

import pytest

from kie_core import NoPlugin, PluginBroken, PluginFailed
from kie_core._dispatch.plugins import load_plugins
from kie_core._models.registry import bundled, from_rows
from kie_core.testing import check_plugin, make_job

WATCHER = """
from kie_core import hookimpl
seen = []
@hookimpl
def job_accepted(job, task_id):
    seen.append((job.id, task_id))
"""


def loaded(**arguments):
    return load_plugins(bundled(), **arguments)


def record_of(plugins, name):
    return next(record for record in plugins.records if record.name == name)


def test_a_plugin_is_found_and_brings_its_models(acme):
    """Installed is enough."""
    plugins = loaded()

    assert record_of(plugins, "acme").condition == "ready"
    assert plugins.wires("acme") == ("dedicated",)
    assert plugins.registry.get(acme).origin == "plugin kie-acme 1.0"


def test_the_rows_of_a_plugin_are_read_once_per_process(acme):
    """Hooks are pure; a program that opens many clients does not read them again."""
    first, second = loaded(), loaded()

    assert first.registry.get(acme) is second.registry.get(acme)


def test_the_rows_of_a_plugin_that_uses_the_library_while_it_is_imported_are_all_there(install, acme_source):
    """Who looks at it half imported sees no rows, and that is not remembered."""
    source = "from kie_core import Settings, load_dispatcher\nload_dispatcher(Settings())\n" + acme_source
    install("kie-acme", {"acme": "kie_using_test"}, {"kie_using_test": source})

    assert "acme-sketch" in loaded().registry


def change(source, old, new):
    assert old in source
    return source.replace(old, new)


BROKEN = [
    (
        "from kie_core import",
        "import no_such_module_at_all\nfrom kie_core import",
        "No module named 'no_such_module_at_all'",
    ),
    ("from kie_core import", "raise SystemExit(3)\nfrom kie_core import", "SystemExit: 3"),
    ("def build_payload(job)", "def build_paylaod(job)", "unknown hook 'build_paylaod'; did you mean 'build_payload'?"),
    ("def build_payload(job)", "def build_payload(job, key)", "key"),
    ("def parse_result(job, body)", "async def parse_result(job, body)", "hook 'parse_result' is async"),
    ("@hookimpl\ndef endpoint_for", "def endpoint_for", "lacks @hookimpl on endpoint_for"),
    ("def endpoint_for", "def _endpoint_for", "unknown hook '_endpoint_for'"),
    ("ENDPOINTS = {", "OTHER = {", "lacks ENDPOINTS"),
    ("ENDPOINTS = {", "ENDPOINTS = {'v4': Endpoint(create='/a', query='/b'), ", "the core's own"),
    ("from kie_core import", "raise GeneratorExit\nfrom kie_core import", "GeneratorExit"),
    ("from kie_core import", "raise BaseException('gone')\nfrom kie_core import", "BaseException: gone"),
    ("ENDPOINTS = {", "ENDPOINTS = {'jobs': '/path', ", "ENDPOINTS is not a mapping of wire to Endpoint"),
    ('"model_id": "acme-sketch"', '"model_id": "veo3"', "model 'veo3' is already brought by"),
    ('"api_category": "acme"', '"api_category": "veo3"', "of category 'veo3', which it does not own"),
    ('"output_type": "image/png"', '"output_typ": "image/png"', "did you mean 'output_type'?"),
    ("    return [{", "    1 / 0\n    return [{", "ZeroDivisionError"),
]


@pytest.mark.parametrize(("old", "new", "reason"), BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason_and_harms_no_other(install, acme_source, old, new, reason):
    """Its category raises that reason; the others load."""
    install("kie-broken", {"acme": "kie_broken_test"}, {"kie_broken_test": change(acme_source, old, new)})
    install("kie-fine", {"fine": "kie_fine_test"}, {"kie_fine_test": acme_source.replace("acme", "fine")})

    plugins = loaded()

    record = record_of(plugins, "acme")
    assert (record.condition, record.distribution, record.version) == ("broken", "kie-broken", "1.0")
    assert reason in record.reason
    with pytest.raises(PluginBroken, match="kie-broken 1.0"):
        plugins.wires("acme")
    assert plugins.wires("fine") == ("dedicated",)


def test_two_distributions_with_one_category_are_both_put_aside(install, acme_source):
    """The message names both; neither wins by luck."""
    install("kie-acme", {"acme": "kie_one_test"}, {"kie_one_test": acme_source})
    install("kie-acme-fork", {"acme": "kie_two_test"}, {"kie_two_test": acme_source}, version="2.0")

    plugins = loaded()

    assert [record.condition for record in plugins.records if record.name == "acme"] == ["duplicate", "duplicate"]
    with pytest.raises(PluginBroken, match="kie-acme 1.0 and kie-acme-fork 2.0 both claim it"):
        plugins.wires("acme")


def test_a_plugin_for_newer_hooks_says_so(install, acme_source):
    """The mend is an upgrade of the core."""
    install("kie-acme", {"acme": "kie_new_test"}, {"kie_new_test": "KIE_HOOKS = 9\n" + acme_source})

    plugins = loaded()

    assert record_of(plugins, "acme").condition == "too new"
    with pytest.raises(PluginBroken, match="needs hooks 9, this kie-core has 1; try: pip install -U kie-core"):
        plugins.wires("acme")


def test_an_object_that_cannot_be_hashed_is_put_aside(install, acme_source):
    """A trap of attrs.define, found before it breaks something."""
    source = acme_source + "\nclass Plugin(list):\n    ENDPOINTS = ENDPOINTS\nplugin = Plugin()\n"
    install("kie-acme", {"acme": "kie_list_test:plugin"}, {"kie_list_test": source})

    assert "cannot be hashed; use a module" in record_of(loaded(), "acme").reason


def test_one_module_may_own_two_categories(install, acme_source):
    """Two entry points, one file."""
    install("kie-acme", {"acme": "kie_both_test", "acme-video": "kie_both_test"}, {"kie_both_test": acme_source})

    plugins = loaded()

    assert plugins.wires("acme") == plugins.wires("acme-video") == ("dedicated",)


def test_plugins_can_be_restricted_and_removed(acme):
    """KIE_PLUGINS and KIE_DISABLE_PLUGINS; the reason says which."""
    assert record_of(loaded(only=("veo3",)), "acme").condition == "disabled"
    with pytest.raises(PluginBroken, match="KIE_DISABLE_PLUGINS names it"):
        loaded(disabled=("acme",)).wires("acme")


def test_a_category_without_a_plugin_names_the_line_that_mends_it():
    """The message can be copied."""
    with pytest.raises(NoPlugin, match="pip install kie-midjourney"):
        loaded(only=()).wires("midjourney")


def test_only_the_owner_is_asked(install, acme_source):
    """Another plugin cannot answer for a category that is not its own."""
    thief = acme_source.replace("acme", "thief").replace('{"text": job.params["prompt"]}', '{"stolen": True}')
    install("kie-acme", {"acme": "kie_a_test"}, {"kie_a_test": acme_source})
    install("kie-thief", {"thief": "kie_z_test"}, {"kie_z_test": thief})
    plugins = loaded()
    job = make_job({**ROW, "model_id": "acme-sketch"}, {"prompt": "cat"})

    assert plugins.call("acme", "build_payload", job=job) == {"text": "cat"}


ROW = {
    "model_id": "acme-x",
    "title": "x",
    "api_category": "acme",
    "output_type": "image/png",
    "input_schema": {"properties": {"prompt": {"type": "string"}}},
}


def test_wrappers_of_other_plugins_run_around_the_owner(acme, install):
    """Caching and tracing stay possible."""
    install(
        "kie-loud",
        {"loud": "kie_loud_test"},
        {
            "kie_loud_test": """
            from kie_core import hookimpl
            @hookimpl(wrapper=True)
            def build_payload(job):
                body = yield
                return {**body, "text": body["text"].upper()}
            """
        },
    )
    plugins = loaded()

    assert plugins.call("acme", "build_payload", job=make_job(ROW, {"prompt": "cat"})) == {"text": "CAT"}
    with pytest.raises(NoPlugin):
        plugins.wires("loud")


def test_a_plugin_with_a_category_of_its_own_may_wrap_the_hooks_of_others(acme, install, acme_source):
    """Its wrapper runs around their hooks and its own, and what it does for its own category stays there."""
    wrapper = """
@hookimpl(wrapper=True, specname="build_payload")
def traced(job):
    return {**(yield), "traced": True}
"""
    loud = change(acme_source.replace("acme", "loud"), '{"text": job.params["prompt"]}', '{"loud": True}')
    install("kie-loud", {"loud": "kie_loud_owner_test"}, {"kie_loud_owner_test": loud + wrapper})
    plugins = loaded()
    job = make_job(ROW, {"prompt": "cat"})

    assert plugins.call("acme", "build_payload", job=job) == {"text": "cat", "traced": True}
    assert plugins.call("loud", "build_payload", job=job) == {"loud": True, "traced": True}


def test_of_two_that_implement_a_hook_the_same_answers_whether_another_plugin_wraps_it_or_not(install):
    """A tracer changes no request."""
    twice = "\n@hookimpl(specname='build_payload')\ndef quick(job):\n    return {'quick': True}\n"
    install_late(install, OWNER + twice)
    job = make_job(ROW, {"prompt": "cat"})
    alone = loaded().call("acme", "build_payload", job=job)
    tracer = "from kie_core import hookimpl\n@hookimpl(wrapper=True)\ndef build_payload(job):\n    return (yield)\n"
    install("kie-trace", {"trace": "kie_only_trace_test"}, {"kie_only_trace_test": tracer})

    assert loaded().call("acme", "build_payload", job=job) == alone


def test_a_hook_that_raises_is_named(install, acme_source):
    """The caller learns which plugin and which hook, and keeps the cause."""
    install(
        "kie-acme",
        {"acme": "kie_raise_test"},
        {"kie_raise_test": change(acme_source, 'job.params["prompt"]', 'job.params["nope"]')},
    )

    with pytest.raises(PluginFailed, match="plugin 'acme' failed in build_payload: KeyError: 'nope'") as caught:
        loaded().call("acme", "build_payload", job=make_job(ROW, {"prompt": "cat"}))

    assert isinstance(caught.value.__cause__, KeyError)


def test_observers_are_told_and_cannot_harm(install, caplog):
    """One observer raises; the next is told all the same, and the job goes on."""
    install(
        "kie-bad", {"bad": "kie_bad_test"}, {"kie_bad_test": WATCHER.replace("seen.append((job.id, task_id))", "1 / 0")}
    )
    install("kie-good", {"good": "kie_good_test"}, {"kie_good_test": WATCHER})
    plugins = loaded()

    plugins.observe("job_accepted", job=make_job(ROW, {"prompt": "cat"}), task_id="t1")

    import kie_good_test

    assert kie_good_test.seen == [("job1", "t1")]
    assert "plugin 'bad' failed in job_accepted: ZeroDivisionError" in caplog.text


def test_a_slow_hook_is_warned_about(install, acme_source, caplog, monkeypatch):
    """Hooks must not wait for anything. The clock is the test's."""
    install("kie-acme", {"acme": "kie_slow_test"}, {"kie_slow_test": acme_source})
    plugins = loaded()
    ticks = iter([0.0, 1.5])
    monkeypatch.setattr("kie_core._dispatch.plugins.time.perf_counter", lambda: next(ticks))

    plugins.call("acme", "build_payload", job=make_job(ROW, {"prompt": "cat"}))

    assert "took 1.5 s in build_payload" in caplog.text


def test_quarantine_is_logged(install, caplog):
    """Silence would be worse."""
    install("kie-broken", {"acme": "no_such_module_here"}, {})

    loaded()

    assert "plugin 'acme' of kie-broken 1.0 is in quarantine" in caplog.text


def test_a_watcher_cannot_decide_that_nothing_was_bought(acme, install):
    """Only the owner says which messages are refusals."""
    source = "from kie_core import hookimpl\n@hookimpl\ndef refused():\n    return ((500, ''),)\n"
    install("kie-spy", {"spy": "kie_spy_test"}, {"kie_spy_test": source})

    assert loaded().call("acme", "refused") is None


@pytest.mark.parametrize("hook", ["refused()", "job_accepted(job, task_id)"])
def test_what_nobody_may_wrap_is_not_wrapped(acme, install, hook):
    """Else a tracer could decide that nothing was bought."""
    source = (
        f"from kie_core import hookimpl\n@hookimpl(wrapper=True)\ndef {hook}:\n    yield\n    return ((500, ''),)\n"
    )
    install("kie-wrap", {"wrap": "kie_wrap_test"}, {"kie_wrap_test": source})

    assert "which nobody may wrap" in record_of(loaded(), "wrap").reason


def test_an_observer_may_raise_whatever_it_likes(install):
    """Even what is no Exception."""
    source = WATCHER.replace("seen.append((job.id, task_id))", "raise BaseException('x')")
    install("kie-bad", {"bad": "kie_base_test"}, {"kie_base_test": source})

    loaded().observe("job_accepted", job=make_job(ROW, {"prompt": "cat"}), task_id="t1")


def test_a_hook_that_exits_is_a_fault_of_the_plugin(install, acme_source):
    """sys.exit in a plugin must not end the program that pays."""
    source = change(acme_source, 'return {"text": job.params["prompt"]}', "raise SystemExit(0)")
    install("kie-acme", {"acme": "kie_exit_test"}, {"kie_exit_test": source})

    with pytest.raises(PluginFailed, match="SystemExit"):
        loaded().call("acme", "build_payload", job=make_job(ROW, {"prompt": "cat"}))


def test_metadata_without_a_name_harms_nobody(acme, install):
    """A half-removed distribution stays behind in many environments."""
    folder = install("kie-half", {"half": "kie_half_test"}, {"kie_half_test": "x = 1"})
    next(folder.glob("*.dist-info")).joinpath("METADATA").unlink()

    assert record_of(loaded(), "acme").condition == "ready"


# --- plugins that wait: their models are in a file, they are imported when their category is first used --------------

OWNER = """
from kie_core import Endpoint, Outcome, hookimpl

ENDPOINTS = {"dedicated": Endpoint(create="/acme/create", query="/acme/query")}

@hookimpl
def endpoint_for(job):
    return ENDPOINTS[job.wire]

@hookimpl
def build_payload(job):
    return {"text": job.params["prompt"]}

@hookimpl
def parse_result(job, body):
    return Outcome("running")
"""
SKETCH = {**ROW, "model_id": "acme-sketch"}
REQUIRES = {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}}


def install_late(install, source=OWNER, models=(SKETCH,), *, module="kie_late_test", name="kie-acme", category="acme"):
    models = models if isinstance(models, str) else [{**row, "api_category": category} for row in models]
    install(name, {category: module}, {module: source}, models=models)


def test_a_plugin_with_its_models_in_a_file_is_imported_when_its_category_is_first_used(install):
    """Lists, searches and models need nothing else."""
    install_late(install)

    plugins = loaded()
    model = plugins.registry.get("acme-sketch")

    assert (model.origin, model.input("prompt").type) == ("plugin kie-acme 1.0", "string")
    assert "acme" in plugins.owned()
    assert "kie_late_test" not in sys.modules
    assert plugins.call("acme", "build_payload", job=make_job(ROW, {"prompt": "cat"})) == {"text": "cat"}
    assert "kie_late_test" in sys.modules


def test_who_asks_for_the_records_has_all_imported(install, caplog):
    """Else nobody could tell whether they work. A broken one is not tried again, and logged once."""
    install_late(install, OWNER, (SKETCH, {**SKETCH, "model_id": "acme-clip"}))
    install_late(install, "1 / 0", (), module="kie_no_test", name="kie-no", category="no")
    plugins = loaded()

    ready, broken = record_of(plugins, "acme"), record_of(plugins, "no")

    assert (ready.condition, ready.wires, ready.models) == ("ready", ("dedicated",), 2)
    assert (broken.condition, broken.distribution) == ("broken", "kie-no")
    assert "ZeroDivisionError" in broken.reason
    assert caplog.text.count("plugin 'no' of kie-no 1.0 is in quarantine") == 1


def test_files_of_models_are_read_once_per_process(install):
    """As the bundled files are."""
    install_late(install)

    first, second = loaded(), loaded()

    assert first.registry.get("acme-sketch") is second.registry.get("acme-sketch")


def test_two_threads_may_use_a_category_for_the_first_time(install):
    """The second waits for the first, and is not told that nobody owns the category."""
    builtins.kie_began, builtins.kie_go_on = threading.Event(), threading.Event()
    install_late(install, "import builtins\nbuiltins.kie_began.set()\nbuiltins.kie_go_on.wait(20)\n" + OWNER)
    plugins = loaded()
    answers, asks = [], threading.Event()

    def use():
        if builtins.kie_began.is_set():
            asks.set()
        try:
            answers.append(plugins.wires("acme"))
        except NoPlugin as error:
            answers.append(error)

    first, second = threading.Thread(target=use), threading.Thread(target=use)
    first.start()
    assert builtins.kie_began.wait(20)
    second.start()
    assert asks.wait(20)
    second.join(0.1)  # it has all the time to do wrong
    builtins.kie_go_on.set()
    first.join(20)
    second.join(20)
    del builtins.kie_began, builtins.kie_go_on

    assert answers == [("dedicated",), ("dedicated",)]


def test_a_plugin_whose_import_was_interrupted_still_waits(install):
    """Ctrl-C says nothing about it."""
    builtins.kie_pressed = iter([KeyboardInterrupt])
    install_late(install, "import builtins\nfor stop in builtins.kie_pressed:\n    raise stop\n" + OWNER)
    plugins = loaded()

    with pytest.raises(KeyboardInterrupt):
        plugins.wires("acme")
    assert plugins.wires("acme") == ("dedicated",)
    del builtins.kie_pressed


def test_who_is_imported_later_answers_for_nobody_else(install):
    """A category that was used before goes on to its own plugin."""
    install_late(install)
    thief = OWNER.replace('{"text": job.params["prompt"]}', '{"stolen": True}')
    install_late(install, thief, (), module="kie_thief_test", name="kie-thief", category="thief")
    plugins = loaded()
    job = make_job(ROW, {"prompt": "cat"})

    before = plugins.call("acme", "build_payload", job=job)
    assert plugins.call("thief", "build_payload", job=job) == {"stolen": True}

    assert plugins.call("acme", "build_payload", job=job) == before == {"text": "cat"}


def test_wrappers_run_around_a_plugin_that_is_imported_later(install):
    """Those are imported at once, because no file says what they do."""
    install_late(install)
    source = "from kie_core import hookimpl\n@hookimpl(wrapper=True)\ndef build_payload(job):\n    body = yield\n    return {**body, 'traced': True}\n"
    install("kie-trace", {"trace": "kie_trace_test"}, {"kie_trace_test": source})

    assert loaded().call("acme", "build_payload", job=make_job(ROW, {"prompt": "cat"})) == {
        "text": "cat",
        "traced": True,
    }


def test_observers_hear_of_the_jobs_of_a_plugin_that_is_imported_later(install):
    """They were there before it."""
    install_late(install)
    install("kie-good", {"good": "kie_hears_test"}, {"kie_hears_test": WATCHER})
    plugins = loaded()

    plugins.wires("acme")
    plugins.observe("job_accepted", job=make_job(ROW, {"prompt": "cat"}), task_id="t1")

    assert sys.modules["kie_hears_test"].seen == [("job1", "t1")]


WRAPS = "\n@hookimpl(wrapper=True, specname='endpoint_for')\ndef traced(job):\n    return (yield)\n"
HEARS = "\n@hookimpl\ndef job_finished(job, task_id, outcome):\n    pass\n"
ROWS = "\ndef register_models():\n    return []\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (OWNER + HEARS, "observes 'job_finished', for which it would come too late"),
        (
            OWNER + HEARS,
            "move that to a module with an entry point of its own, or bring the models by register_models()",
        ),
        ("from kie_core import hookimpl" + WRAPS, "implements no category"),
        (OWNER + WRAPS, "wraps 'endpoint_for', for which it would come too late"),
        (OWNER + ROWS, "brings models both by register_models() and in kie_models.json; keep one of them"),
        ("KIE_HOOKS = 9\n" + OWNER, "needs hooks 9"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_what_does_not_go_with_waiting_is_refused_with_the_reason(install, source, reason):
    """By whoever uses the category; the others work."""
    install_late(install, source)
    install_late(install, OWNER, (), module="kie_fine_late_test", name="kie-fine", category="fine")
    plugins = loaded()

    with pytest.raises(PluginBroken) as caught:
        plugins.wires("acme")

    assert reason in str(caught.value)
    assert not plugins.owns("acme")
    assert plugins.owns("fine")
    assert record_of(plugins, "acme").condition == ("too new" if "hooks 9" in reason else "broken")


@pytest.mark.parametrize(
    ("source", "model", "reason"),
    [
        (OWNER + HEARS, {}, "observes 'job_finished', for which it would come too late"),
        (OWNER + WRAPS, {}, "wraps 'endpoint_for', for which it would come too late"),
        (OWNER + ROWS, {}, "brings models both by register_models() and in kie_models.json"),
        (OWNER, {"rules": [{"require": ["pencil"]}]}, "rules[0] names 'pencil'"),
        (OWNER, {"titel": "x"}, "did you mean 'title'?"),
        (OWNER.replace("def build_payload", "def build"), {}, "unknown hook 'build'"),
    ],
)
def test_what_puts_a_plugin_into_quarantine_is_found_by_its_own_tests(install, source, model, reason):
    """Who ships it learns it before those who install it."""
    install_late(install, source, [{**SKETCH, "input_schema": REQUIRES, **model}], module="kie_own_test")

    with pytest.raises(AssertionError) as caught:
        check_plugin(importlib.import_module("kie_own_test"), "acme")

    assert reason in str(caught.value)


def test_a_plugin_that_is_no_file_can_be_checked(monkeypatch):
    """A module that a script or a test makes brings its rows by register_models()."""
    made = types.ModuleType("kie_made_test")
    exec(OWNER, vars(made))
    made.register_models = lambda: [{**SKETCH, "input_schema": REQUIRES}]
    monkeypatch.setitem(sys.modules, "kie_made_test", made)

    check_plugin(made, "acme")


@pytest.mark.parametrize(
    ("models", "reason"),
    [
        ("{", "kie_models.json, line 1: is not JSON"),
        ('{"models": 5}', 'expected an object with a list "models"'),
        ('{"models": [\n{"model_id": "x", "titel": "x"}]}', "kie_models.json, line 2: models[0] ('x')"),
        ("\N{SNOWMAN}", "is not JSON"),
    ],
)
def test_a_broken_file_of_models_is_a_reason_for_quarantine(install, models, reason):
    """At once, because its models cannot be listed; nothing is imported."""
    install_late(install, models=models)

    plugins = loaded()

    assert reason in record_of(plugins, "acme").reason
    assert "kie_late_test" not in sys.modules
    with pytest.raises(PluginBroken):
        plugins.wires("acme")


@pytest.mark.parametrize("left", ["kie_models.json", "__init__.py"])
def test_a_package_without_the_file_is_imported_at_once(install, left):
    """Only it can say what it does. A folder that is no package holds no file of ours."""
    install_late(install, OWNER if left == "kie_models.json" else "")
    Path(sys.path[0], "kie_late_test", left).unlink()

    record = loaded()._records

    assert "kie_late_test" in sys.modules
    assert [one.condition for one in record.values() if one.name == "acme"] == ["ready"]


def test_a_plugin_that_was_installed_without_its_models_says_what_is_missing(install, acme_source):
    """Build tools leave out data that nobody told them of. One whose models others bring lacks nothing."""
    install("kie-acme", {"acme": "kie_bare_test"}, {"kie_bare_test": OWNER})
    install("kie-fine", {"fine": "kie_rich_test"}, {"kie_rich_test": acme_source.replace("acme", "fine")})
    row = {**ROW, "model_id": "acme-of-mine"}

    plugins, with_rows = loaded(), load_plugins(bundled().extended(from_rows([row], "a file")))

    assert record_of(plugins, "acme").condition == "ready"
    assert "is kie_models.json among the files of its package?" in record_of(plugins, "acme").reason
    assert record_of(plugins, "fine").reason == record_of(with_rows, "acme").reason == ""


def test_a_file_that_is_no_text_is_a_reason_for_quarantine(install):
    """Whatever is wrong with it."""
    install_late(install)
    Path(sys.path[0], "kie_late_test", "kie_models.json").write_bytes(b"\xff")

    assert "UnicodeDecodeError" in record_of(loaded(), "acme").reason


def test_a_row_of_another_category_is_refused(install):
    """A plugin brings models of its own."""
    install(
        "kie-acme", {"acme": "kie_late_test"}, {"kie_late_test": OWNER}, models=[{**SKETCH, "api_category": "veo3"}]
    )

    plugins = loaded()

    assert "is of category 'veo3', which it does not own" in record_of(plugins, "acme").reason
    assert "acme-sketch" not in plugins.registry


def test_a_row_whose_inputs_are_broken_is_found_before_the_category_is_used(install):
    """Lists read no inputs; whoever buys has them all read."""
    broken = {**SKETCH, "model_id": "acme-broken", "input_schema": {"properties": {"prompt": {"type": "strin"}}}}
    install_late(install, OWNER, (SKETCH, broken))
    plugins = loaded()

    assert "acme-broken" in plugins.registry
    with pytest.raises(
        PluginBroken, match=r"models\[1\] \('acme-broken'\): input_schema.properties.prompt.type is 'strin'"
    ):
        plugins.wires("acme")


def test_one_file_may_serve_two_categories(install):
    """Two entry points, one package; its rows come once."""
    rows = [SKETCH, {**SKETCH, "model_id": "acme-clip", "api_category": "acme-video"}]
    install(
        "kie-acme",
        {"acme": "kie_both_late_test", "acme-video": "kie_both_late_test"},
        {"kie_both_late_test": OWNER},
        models=rows,
    )

    plugins = loaded()

    assert plugins.wires("acme") == plugins.wires("acme-video") == ("dedicated",)
    assert [record.condition for record in plugins.records if record.name.startswith("acme")] == ["ready", "ready"]


def test_a_plugin_that_is_disabled_brings_no_models(install):
    """Nor is it imported."""
    install_late(install)

    plugins = loaded(disabled=("acme",))

    assert "acme-sketch" not in plugins.registry
    assert record_of(plugins, "acme").condition == "disabled"
    assert "kie_late_test" not in sys.modules


def test_a_plugin_in_an_archive_waits_as_any_other(install, tmp_path, monkeypatch):
    """As in a zipapp."""
    install_late(install)
    folder = Path(sys.path[0])
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "app.pyz"), *sys.path[1:]])

    plugins = loaded()

    assert plugins.registry.get("acme-sketch").origin == "plugin kie-acme 1.0"
    assert "kie_late_test" not in sys.modules
    assert plugins.wires("acme") == ("dedicated",)
    assert "app.pyz" in sys.modules["kie_late_test"].__file__
