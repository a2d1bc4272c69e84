"""The dispatcher: from words to a request, from an answer to an outcome."""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import attrs
import pytest

from kie_core import InvalidJob, ModelGone, NoPlugin, Outcome, PluginFailed, UnknownModel, UnknownWire
from kie_core._config import load_settings
from kie_core._dispatch.dispatcher import NO_CALLBACK, Dispatcher
from kie_core._dispatch.plugins import load_plugins
from kie_core._models.price import Rates
from kie_core._models.registry import bundled, from_rows
from kie_core._running.plan import Planner

RATES = Rates(Decimal(80), Decimal(2))


def dispatcher(**arguments):
    return Dispatcher(load_plugins(bundled()), RATES, **arguments)


def job_of(acme, wire=None, inputs=None, **arguments):
    made = dispatcher(**arguments)
    return made, made.job(acme, inputs or {"prompt": "cat"}, job_id="j1", wire=wire)


def body_of(request):
    return json.loads(request.content)


def test_the_owner_builds_the_request(acme):
    """Path from the table, body from the hook."""
    made, job = job_of(acme)

    request = made.request(job)

    assert (request.method, request.path, body_of(request)) == ("POST", "/acme/create", {"text": "cat"})


def test_the_v4_wire_needs_no_hook(acme):
    """Params as they are; a row without an endpoint goes through createTask and is read back by recordInfo."""
    made, job = job_of(acme, "v4")

    assert (made.request(job).path, body_of(made.request(job))) == (
        "/api/v1/jobs/createTask",
        {"model": "acme-sketch", "input": {"prompt": "cat"}},
    )
    assert (made.query(job, "t1").path, dict(made.query(job, "t1").query)) == (
        "/api/v1/jobs/recordInfo",
        {"taskId": "t1"},
    )


def test_a_model_of_which_the_plugin_speaks_no_wire_is_an_error(acme):
    """A row of somebody's, or of a newer plugin: the message names both sides."""
    made = dispatcher()
    made.plugins.registry = made.plugins.registry.replaced(
        [attrs.evolve(made.plugins.registry.get(acme), wires=("newest",))]
    )

    with pytest.raises(UnknownWire, match="cannot go over wire 'newest'; its plugin speaks 'dedicated', 'v4'"):
        made.job(acme, {"prompt": "cat"}, job_id="j1")


def test_a_wire_that_is_not_spoken_is_an_error(acme):
    """The message lists those that are."""
    with pytest.raises(UnknownWire, match="speaks 'dedicated', 'v4'"):
        job_of(acme, "jobs")


@pytest.mark.parametrize(("preferred", "wire"), [("v4", "v4"), ("jobs", "dedicated"), (None, "dedicated")])
def test_the_preferred_wire_is_a_preference(acme, preferred, wire):
    """KIE_WIRE counts where the plugin speaks it, and is no error where not."""
    assert job_of(acme, preferred_wire=preferred)[1].wire == wire


def test_a_configured_callback_is_sent(acme):
    """The core adds it, not the plugin."""
    made, job = job_of(acme)

    assert body_of(made.request(job, "https://bot.example/kie")) == {
        "text": "cat",
        "callBackUrl": "https://bot.example/kie",
    }


def test_a_call_that_insists_on_a_callback_gets_a_reserved_one(install, acme_source):
    """Never a host that belongs to somebody."""
    source = acme_source.replace('query="/acme/query"', 'query="/acme/query", callback_required=True')
    install("kie-acme", {"acme": "kie_cb_test"}, {"kie_cb_test": source})
    made, job = job_of("acme-sketch")

    assert body_of(made.request(job))["callBackUrl"] == NO_CALLBACK
    assert NO_CALLBACK.split("/")[2].endswith(".invalid")


def test_lost_inputs_are_warned_about_only_if_given(acme):
    """With the reason."""
    made, job = job_of(acme, inputs={"prompt": "cat", "lost": "x"})
    _, silent = job_of(acme)

    assert made.warnings(job) == ["lost is not sent: it has no place"]
    assert made.warnings(silent) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('return {"text": job.params["prompt"]}', "return None", "returned NoneType, not a filled JSON object"),
        ('return {"text": job.params["prompt"]}', "return {}", "not a filled JSON object"),
        ("return ENDPOINTS[job.wire]", "return '/path'", "returned str, not an Endpoint"),
        ('return {"text": job.params["prompt"]}', "job.params['prompt'] = 'dog'", "TypeError"),
    ],
)
def test_a_hook_that_answers_nonsense_is_a_fault_of_the_plugin(install, acme_source, old, new, said):
    """It is named, and nothing is sent."""
    assert old in acme_source
    install("kie-acme", {"acme": "kie_odd_test"}, {"kie_odd_test": acme_source.replace(old, new)})
    made, job = job_of("acme-sketch")

    with pytest.raises(PluginFailed, match=said):
        made.request(job)


@pytest.mark.parametrize("value", ["float('nan')", "object()", "b'x'", "'\\ud800'"])
def test_a_body_that_is_no_json_is_refused_before_anything_is_sent(install, acme_source, value):
    """NaN, objects, bytes, half surrogates."""
    install(
        "kie-acme",
        {"acme": "kie_nan_test"},
        {"kie_nan_test": acme_source.replace('job.params["prompt"]}', f"{value}}}")},
    )
    made, job = job_of("acme-sketch")

    with pytest.raises(InvalidJob, match="cannot be sent as JSON"):
        made.request(job)


def test_the_owner_reads_the_answer(acme):
    """Whole body in, outcome out."""
    made, job = job_of(acme)

    outcome = made.outcome(job, {"code": 200, "data": {"state": "succeeded", "urls": ["https://e.com/a"]}})

    assert (outcome.state, outcome.urls) == ("succeeded", ("https://e.com/a",))


def test_an_outcome_that_is_none_is_a_fault_of_the_plugin(install, acme_source):
    """firstresult hooks that return None look like no answer."""
    install("kie-acme", {"acme": "kie_none_test"}, {"kie_none_test": acme_source.replace("return Outcome", "Outcome")})
    made, job = job_of("acme-sketch")

    with pytest.raises(PluginFailed, match="returned NoneType, not an Outcome"):
        made.outcome(job, {"code": 200, "data": {"state": "running"}})


def test_a_handle_brings_back_job_and_task(acme):
    """Enough to read the task; nothing is bought."""
    made, job = job_of(acme)

    attached, handle = made.readable(job.handle("t1"))

    assert (attached.id, attached.model.id, attached.wire, handle.task) == ("j1", acme, "dedicated", "t1")
    assert made.outcome(attached, {"code": 200, "data": {"state": "running"}}) == Outcome("running")


def test_what_was_paid_is_read_when_its_plugin_is_gone(acme):
    """Whether it ended and where its files are stands in every family's record in one of a few ways."""
    made, job = job_of(acme)
    orphan = attrs.evolve(job, model=attrs.evolve(job.model, category="nobody"))
    done = {"code": 200, "data": {"successFlag": 1, "response": {"resultUrls": ["https://e.com/a.png"]}}}

    assert made.outcome(orphan, done).urls == ("https://e.com/a.png",)
    assert made.outcome(orphan, {"code": 200, "data": {"state": "fail", "failMsg": "no"}}).state == "failed"
    assert made.outcome(orphan, {"code": 200, "data": {"status": "PENDING"}}).state == "running"


def test_a_model_that_the_vendor_removed_says_so():
    """Before anything else is looked at."""
    gone = next(model for model in bundled() if model.status == "gone")

    with pytest.raises(ModelGone, match="no longer offered"):
        dispatcher().job(gone.id, {}, job_id="j1")


def test_an_unknown_model_is_an_unknown_model():
    """The registry's error comes through."""
    with pytest.raises(UnknownModel):
        dispatcher().job("nothing-like-it", {}, job_id="j1")


def test_a_known_model_without_its_plugin_names_the_line_that_mends_it():
    """A registry may list what no installed plugin can send."""
    row = {
        "model_id": "mj-1",
        "title": "MJ",
        "api_category": "midjourney",
        "output_type": "image/png",
        "input_schema": {},
    }
    registry = bundled().extended(from_rows([row], "a test"))

    with pytest.raises(NoPlugin, match="pip install kie-midjourney"):
        Dispatcher(load_plugins(registry), RATES).job("mj-1", {}, job_id="j1")


def test_a_hook_that_changes_the_inputs_changes_nothing(install, acme_source):
    """It works on a copy: the same job gives the same request twice."""
    source = acme_source.replace(
        'return {"text": job.params["prompt"]}',
        'job.params["tags"].append("x")\n    return {"tags": job.params["tags"]}',
    )
    install("kie-acme", {"acme": "kie_mutate_test"}, {"kie_mutate_test": source})
    made, job = job_of("acme-sketch", inputs={"prompt": "cat", "tags": ["a"]})

    assert made.request(job) == made.request(job)
    assert job.params["tags"] == ["a"]


def test_a_hook_is_asked_once_where_a_job_goes(install, acme_source):
    """However much of its request depends on that."""
    source = acme_source.replace("def endpoint_for(job):", "def endpoint_for(job):\n    ASKED.append(job.id)")
    install("kie-acme", {"acme": "kie_asked_test"}, {"kie_asked_test": f"ASKED = []\n{source}"})
    made, job = job_of("acme-sketch")
    asked = sys.modules["kie_asked_test"].ASKED
    asked.clear()

    made.request(job)
    assert len(asked) == 1
    Planner("account-1", load_settings({}, environ={}), made).planned(job)
    assert len(asked) == 2


@pytest.mark.parametrize("table", ["[(500, None)]", "[500]", "500"])
def test_a_table_of_refusals_that_is_none_is_found_before_anything_is_sent(install, acme_source, table):
    """Not after the money is spent."""
    install(
        "kie-acme",
        {"acme": "kie_table_test"},
        {"kie_table_test": acme_source + f"\n@hookimpl\ndef refused():\n    return {table}\n"},
    )
    made, job = job_of("acme-sketch")

    with pytest.raises(PluginFailed, match="refused"):
        made.refused(job)
