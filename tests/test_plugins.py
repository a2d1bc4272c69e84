"""Plugins: one that is broken, doubled or too new goes into quarantine, and the others work."""

from __future__ import annotations

import pytest

from kie_core import NoPlugin, PluginBroken, PluginFailed
from kie_core._plugins import load_plugins
from kie_core._registry import bundled
from kie_core.testing import make_job

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
    monkeypatch.setattr("kie_core._plugins.time.perf_counter", lambda: next(ticks))

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
