"""Kie's list against the models that are known here: new, gone, moved, changed; and the live schemas behind it."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from kie_core import Catalogue, Clock, Kie, Listing, NoCatalogue, NoKey
from kie_core._catalogue.drift import Difference, drift
from kie_core._cli.main import kie
from kie_core._models.model import model_from_row
from kie_core._models.registry import Registry

KEY = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROW = {"title": "T", "output_type": "image/png", "api_category": "market"}


def known(model_id, **more):
    return model_from_row({**ROW, "model_id": model_id, **more})


def listed(model, title=None, price=None):
    return Listing(model, "", title or model, "", (), None, price)


def compare(models, listings, *inputs, **more):
    return drift(Catalogue(tuple(listings), NOW, **more), Registry({}).extended(models), inputs)


def test_what_is_the_same_is_no_difference():
    """By createTask's name; families are not in the list and miss nothing there."""
    models = [
        known("a"), known("old-a", wire_model="a", api_category="legacy-v3"), known("veo3", api_category="veo3"),
        known("left", status="gone"),
    ]  # fmt: skip

    assert not compare(models, [listed("a")], total=1)


def test_new_gone_and_moved():
    """An older name is no new model, and what it moved to is not gone."""
    found = compare([known("a"), known("b", older_ids=["b-1"]), known("c")], [listed("a"), listed("b-1"), listed("n")])

    assert [one.model for one in found.new] == ["n"]
    assert [one.id for one in found.gone] == ["c"]
    assert dict(found.moved) == {"b-1": "b"}
    assert found


def test_a_model_that_was_gone_and_is_listed_again_is_a_change():
    """Else nobody would hear that it can be had again: it is neither new nor missing."""
    found = compare([known("back", status="gone"), known("left", status="gone")], [listed("back")])

    assert found.changed == (Difference("back", "status", "gone", "listed again"),)
    assert (found.new, found.gone) == ((), ())


def test_of_a_list_that_is_not_whole_nothing_is_gone():
    """Nobody can know."""
    for more in ({"total": 9}, {"skipped": 1}):
        found = compare([known("a"), known("c")], [listed("a")], **more)
        assert (found.gone, found.whole) == ((), False)


def test_titles_and_prices_that_differ():
    """Case and marks are no difference; a number of credits that the table lacks is one, words alone are none."""
    models = [known("a", title="Model A", wire_pricing={"rows": [{"credits": 4}, {"credits": 0.8}]})]

    def kinds(**more):
        return [(one.kind, one.here, one.kie) for one in compare(models, [listed("a", **more)]).changed]

    assert (
        kinds()
        == kinds(title="model-a")
        == kinds(price="0.8 credits per image, 4 credits")
        == kinds(price="cheap")
        == []
    )
    assert kinds(title="Model B") == [("title", "Model A", "Model B")]
    assert kinds(price="5 credits per image") == [("price", "0.8, 4 credits", "5 credits per image")]
    assert kinds(price="version 1.4 credits") != []


def test_inputs_that_differ_are_part_of_it():
    """As they were found."""
    one = Difference("a", "inputs", "x", "y")

    assert compare([known("a")], [listed("a")], one).changed == (one,)


# --- asking ------------------------------------------------------------------------


SCHEMA = {
    "paths": {"/api/v1/jobs/createTask": {"post": {"requestBody": {"content": {"application/json": {"schema": {
        "properties": {"input": {"properties": {"prompt": {"type": "string", "maxLength": 7}}, "required": ["prompt"]}},
    }}}}}}},
}  # fmt: skip


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    """A Kie that lists two models and has a schema of one; counts what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path == "/api/v1/models":
                rows = [{"model": "new/one", "title": "New One"}, {"model": "new/two", "pricingDesc": "1 credit"}]
                body = {"code": 200, "data": {"total": 2, "models": rows}}
            elif self.path == "/api/v1/models/new/one/schema":
                body = {"code": 200, "data": {"model": "new/one", "openapi": SCHEMA}}
            elif self.path.endswith("/schema") and "two" in self.path:
                body = {"code": 200, "data": {"model": "new/two", "openapi": None}}
            elif self.path.endswith("/price"):
                body = {"code": 200, "data": {"model": "x", "pricingDesc": "0.8 credits\nper image"}}
            else:
                body = {"code": 404, "msg": "model not found", "data": None}
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    for name, value in {
        "KIE_CACHE_DIR": str(tmp_path), "KIE_BASE_URL": f"http://127.0.0.1:{server.server_port}", "KIE_API_KEY": KEY,
        "KIE_PLUGINS": "none",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clock, "sleep", no_sleep)
    slept.clear()
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


slept = []


async def no_sleep(_self, seconds):
    slept.append(seconds)


def run(*words):
    return CliRunner().invoke(kie, ["catalogue", *words])


def test_refresh_with_schemas_makes_new_models_known(vendor):
    """One question a second; what has no schema is named; the row says where it comes from."""
    result = run("refresh", "--schemas", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["without_schema"] == {"new/two": "Kie has no schema of it"}
    assert vendor == [
        "/api/v1/models", "/api/v1/models/new/one/schema", "/api/v1/models/new/one/price",
        "/api/v1/models/new/two/schema",
    ]  # fmt: skip
    assert slept == [1.0, 1.0, 1.0]
    shown = CliRunner().invoke(kie, ["model", "new/one"])
    assert "New One (live schema)" in shown.stdout
    assert "the row is from Kie's live schema, read 0 s ago" in shown.stdout
    assert "Kie says of its price: 0.8 credits per image" in shown.stdout
    assert "new/one" in CliRunner().invoke(kie, ["models", "new"]).stdout
    off = CliRunner().invoke(kie, ["model", "new/one"], env={"KIE_OVERLAY": "false"})
    assert off.exit_code == 2


def test_what_was_asked_today_is_not_asked_again_unless_it_is_named(vendor):
    """It is kept with its age; a name is a wish."""
    run("refresh", "--schemas")
    vendor.clear()
    run("diff", "--schemas")
    assert vendor == ["/api/v1/models/new/two/schema"]
    vendor.clear()
    run("diff", "new/one")
    assert vendor == ["/api/v1/models/new/one/schema", "/api/v1/models/new/one/price"]


def test_diff_compares_what_was_fetched(vendor):
    """Without a question; exit code 1 only where it is asked for, and there is a difference."""
    assert run("diff").exit_code == 1
    assert "kie catalogue refresh" in run("diff").stderr
    assert vendor == []

    shown = run("diff", "--refresh", "--json")
    found = json.loads(shown.stdout)

    assert shown.exit_code == 0
    assert [one["model"] for one in found["new"]] == ["new/one", "new/two"]
    assert (found["gone"], found["moved"], found["changed"], found["whole"]) == ([], {}, [], True)
    vendor.clear()
    assert run("diff", "--exit-code").exit_code == 1
    assert run("diff").stdout.splitlines() == ["new\tnew/one\t\t", "new\tnew/two\t\t1 credit"]
    assert "2 differences, by a list that is 0 s old" in run("diff").stderr
    assert vendor == []


def test_a_model_that_became_known_by_the_overlay_is_still_new(vendor):
    """The overlay is of this machine; a release of its plugin knows it for everybody."""
    run("refresh", "--schemas")

    assert "new\tnew/one" in run("diff").stdout


def test_slips(vendor, monkeypatch):
    """A model without --schemas; a name that would lead elsewhere; no key, no list."""
    assert run("refresh", "new/one").exit_code == 2
    run("refresh")
    vendor.clear()
    assert "no model id" in run("diff", "../../chat/credit").stderr
    assert vendor == []
    assert "Kie has no schema of it" in run("diff", "no/such").stderr


@pytest.mark.anyio
async def test_asking_needs_a_key_and_a_list(vendor, monkeypatch):
    """Unless models are named."""
    async with Kie() as client:
        with pytest.raises(NoCatalogue):
            await client.schemas()
        assert await client.schemas("new/one") == {}
    monkeypatch.delenv("KIE_API_KEY")
    async with Kie() as client:
        with pytest.raises(NoKey):
            await client.schemas("new/one")
