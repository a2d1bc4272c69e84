"""``kie catalogue``: what is kept is shown without network, and asked for on demand."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from kie_core import Catalogue, KieBlocking, Listing
from kie_core._catalogue.catalogue_file import catalogue_path, keep
from kie_core._cli.main import kie

KEY = "0123456789abcdef0123456789abcdef"
URL = "https://api.kie.ai"
KLING = Listing("kling/v3", "kling-v3", "Kling 3", "Kling", ("Text to Video", "Image to Video"), "shots", "14 credits")
VEO = Listing("veo", "", "veo", "", (), None, None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KIE_CACHE_DIR", str(tmp_path))
    return tmp_path


def kept(cache, *, ago=timedelta(hours=3), **more):
    path = catalogue_path(URL, {"KIE_CACHE_DIR": str(cache)})
    keep(path, URL, Catalogue((KLING, VEO), datetime.now(UTC) - ago, **more))
    return path


def run(*words):
    return CliRunner().invoke(kie, ["catalogue", *words])


@pytest.fixture
def vendor(cache, monkeypatch):
    """A Kie that lists two models, and counts how often it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            rows = [{"model": "z-image", "taskType": ["Text to Image"], "pricingDesc": "0.8 credits per image"}, {}]
            content = json.dumps({"code": 200, "data": {"total": 5, "models": rows}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    monkeypatch.setenv("KIE_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("KIE_API_KEY", KEY)
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_a_catalogue_the_next_step_is_named(cache):
    """Exit code 1, and an object for programs."""
    result = run("--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "NoCatalogue"
    assert "kie catalogue refresh" in result.stderr


def test_what_is_kept_is_shown_with_its_age(cache):
    """Tab-separated for programs; how many and how old on stderr; no key is needed."""
    kept(cache)

    result = run()

    assert result.stdout.splitlines() == ["kling/v3\tKling\tText to Video, Image to Video\t14 credits", "veo\t\t\t"]
    assert result.stderr == "2 models, fetched 3 h ago\n"


def test_alone_it_does_what_show_does(cache):
    """Words and options may stand at once; a word that is a command needs show before it."""
    kept(cache)

    assert run().stdout == run("show").stdout
    assert run("IMAGE", "kling").stdout == run("show", "IMAGE", "kling").stdout
    assert run("--json", "kling").stdout == run("show", "kling", "--json").stdout
    assert run("show", "refresh").stderr.splitlines()[:2] == ["0 of 2 models, fetched 3 h ago", "no model matches"]
    assert "refresh" in run("--help").stdout


def test_as_json_nothing_is_left_out(cache):
    """Of a list that was narrowed, the whole is told too."""
    kept(cache, total=9, skipped=1)

    shown = json.loads(run("--json", "kling").stdout)

    assert datetime.now(UTC) - datetime.fromisoformat(shown.pop("fetched_at")) > timedelta(hours=2)
    assert shown == {
        "count": 2, "total": 9, "skipped": 1, "old": False,
        "models": [
            {
                "model": "kling/v3", "slug": "kling-v3", "title": "Kling 3", "provider": "Kling",
                "task_types": ["Text to Video", "Image to Video"], "description": "shots", "price_text": "14 credits",
            }
        ],
    }  # fmt: skip


def test_an_old_catalogue_says_how_it_is_renewed(cache):
    """From seven days on."""
    kept(cache, ago=timedelta(days=6, hours=23))
    assert "renews" not in run().stderr

    kept(cache, ago=timedelta(days=8))
    assert "fetched 8 d ago" in run().stderr
    assert "older than 7 days: kie catalogue refresh renews it" in run().stderr
    assert json.loads(run("--json").stdout)["old"] is True


def test_a_clock_that_was_set_back_is_no_fault(cache):
    """What comes from the future is new."""
    kept(cache, ago=timedelta(days=-2))

    assert "fetched 0 s ago" in run().stderr


def test_a_damaged_file_is_named(cache):
    """With what mends it; no traceback."""
    path = kept(cache)
    path.write_text(path.read_text()[:100])

    result = run()

    assert (result.exit_code, result.stdout) == (1, "")
    assert f"the kept catalogue {path} cannot be used: it is damaged" in result.stderr


def test_refresh_asks_once_and_keeps_what_came(vendor, cache):
    """What was left out, and what Kie says is missing, is told."""
    result = run("refresh")

    assert (result.exit_code, result.stdout, vendor) == (0, "", ["/api/v1/models"])
    assert result.stderr.splitlines() == [
        "1 models; kie catalogue lists them",
        "1 more entries of the list could not be used",
        "the list is not whole: Kie says that there are 5",
    ]
    assert run().stdout == "z-image\t\tText to Image\t0.8 credits per image\n"
    assert run().stderr.splitlines()[1:] == result.stderr.splitlines()[1:]
    with KieBlocking() as client:
        assert len(client.catalogue().models) == 1
    assert len(vendor) == 1


def test_refresh_replaces_a_damaged_file(vendor, cache):
    """Nothing needs to be removed by hand."""
    run("refresh")
    (path,) = Path(cache).glob("catalogue-*.json")
    path.write_bytes(b"\x00")

    assert run().exit_code == 1
    assert json.loads(run("refresh", "--json").stdout)["count"] == 1
    assert run().exit_code == 0


def test_refresh_needs_a_key(vendor, monkeypatch):
    """Exit code 3; nobody is asked."""
    monkeypatch.delenv("KIE_API_KEY")

    assert run("refresh").exit_code == 3
    assert vendor == []
