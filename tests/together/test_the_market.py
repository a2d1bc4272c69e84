"""Every model of the market against the fake vendor, who reads the pages for himself and not through our rows."""

from __future__ import annotations

import json
import shlex

import pytest
from click.testing import CliRunner

from kie_core import InvalidJob, KieBlocking, Schedule, load_dispatcher, load_settings
from kie_core._cli.main import kie as command
from kie_core._models.lossless import lossless
from kie_core._models.validation import validate
from kie_core.testing import example_inputs
from kie_sandbox import Request, Sandbox, serve

KEY = "0123456789abcdef0123456789abcdef"
DISPATCHER = load_dispatcher(load_settings(environ={}))
MARKET = [model for model in DISPATCHER.plugins.registry if model.category == "market"]
CURRENT = [model.id for model in MARKET if model.status != "gone"]
GONE = [model.id for model in MARKET if model.status == "gone"]


class Vendor(Sandbox):
    """A fake Kie with a clock that a test sets forward, asked without a socket."""

    def __init__(self):
        self.seconds = 1_790_000_000.0
        super().__init__(credits=1e9, creates_per_10_seconds=None, clock=lambda: self.seconds)

    def ask(self, request):
        headers = {"authorization": f"Bearer {KEY}", "host": "127.0.0.1:8787"}
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        target = f"{request.path}?{query}" if query else request.path
        return json.loads(self.handle(Request(request.method, target, headers, request.content or b"")).content)


@pytest.fixture(scope="module")
def vendor():
    return Vendor()


def job_of(model_id):
    return DISPATCHER.job(model_id, example_inputs(DISPATCHER.plugins.registry.get(model_id)), job_id="job1")


def bought(vendor, job):
    """Send a job's create; return its task and the credits that the vendor took."""
    before = vendor.balance
    answer = vendor.ask(DISPATCHER.request(job))
    assert answer["code"] == 200, answer
    return answer["data"]["taskId"], before - vendor.balance


@pytest.mark.parametrize("model_id", CURRENT)
def test_an_example_is_sent_as_documented_and_ends_in_a_result(vendor, model_id):
    """The body is model and input, as the example has it; the vendor makes a task of it, and its record is understood.

    No default is added: examples give what the call requires, and what Kie fills in is not sent. One page wants a
    callback address beside the two, which is then one that nobody owns.
    """
    job = job_of(model_id)

    body = json.loads(DISPATCHER.request(job).content)
    task_id, _ = bought(vendor, job)
    before = DISPATCHER.outcome(job, vendor.ask(DISPATCHER.query(job, task_id)))
    vendor.seconds += 3600
    after = DISPATCHER.outcome(job, vendor.ask(DISPATCHER.query(job, task_id)))

    assert {name: body[name] for name in ("model", "input")} == {"model": model_id, "input": dict(job.model.example)}
    assert set(body) - {"model", "input"} == ({"callBackUrl"} if DISPATCHER.endpoint(job).callback_required else set())
    assert (before.state, after.state) == ("queued", "succeeded")
    assert after.artifacts


@pytest.mark.parametrize("model_id", CURRENT)
def test_the_price_is_what_the_vendor_takes_or_more(vendor, model_id):
    """Two readings of one price list: exactly the same, or not below it where it says "at most"."""
    job = job_of(model_id)

    _, taken = bought(vendor, job)

    if job.price.at_most:
        assert taken <= job.price.credits
    elif job.price.credits is not None:
        assert taken == job.price.credits


@pytest.mark.parametrize("model_id", CURRENT)
def test_whatever_the_model_lists_is_what_the_vendor_lists(vendor, model_id):
    """Every listed value of every input is taken by the vendor too: no spelling of ours."""
    job = job_of(model_id)
    refused = []
    for field in job.model.inputs:
        for value in field.enum or ():
            body = {"model": model_id, "input": {**job.params, field.name: value}}
            request = Request(
                "POST", "/api/v1/jobs/createTask", {"authorization": f"Bearer {KEY}"}, json.dumps(body).encode()
            )
            if json.loads(vendor.handle(request).content)["code"] != 200:
                refused.append((field.name, value))

    assert refused == []


def test_every_listed_value_can_be_written_in_another_case_or_as_a_number():
    """1k, 720P, "5" for 5: what reaches the vendor is the listed spelling, of every input of every model."""
    missed = []
    for model in MARKET:
        for field in model.inputs:
            for listed in field.enum or ():
                text = str(listed)
                ways = [text, text.upper(), text.lower(), text.swapcase(), *([int(text)] if text.isdecimal() else [])]
                missed += [(model.id, field.name, way) for way in ways if lossless(field, way) != listed]

    assert missed == []


def test_a_model_that_is_gone_is_refused_by_the_vendor_too(vendor):
    """Nothing is taken for it."""
    before = vendor.balance
    for model_id in GONE:
        body = {"model": model_id, "input": dict(DISPATCHER.plugins.registry.get(model_id).example)}
        headers = {"authorization": f"Bearer {KEY}"}
        vendor.handle(Request("POST", "/api/v1/jobs/createTask", headers, json.dumps(body).encode()))

    assert len(GONE) == 11
    assert vendor.balance == before


@pytest.mark.parametrize(
    ("model_id", "magic"),
    [("z-image", b"\x89PNG"), ("bytedance/seedance-2", b"ftyp"), ("elevenlabs/audio-isolation", b"ID3")],
)
def test_a_picture_a_clip_and_a_sound_over_a_real_socket(model_id, magic, tmp_path):
    """Bought, followed and saved as a user does it; the file's name holds no slash of the id."""
    world = Sandbox(speed=300, credits=1_000)
    with serve(sandbox=world) as url, KieBlocking(KEY, base_url=url, schedule=Schedule(first=0.02, longest=0.1)) as kie:
        task = kie.generate(model_id, example_inputs(kie.registry.get(model_id)))
        (path,) = task.save(tmp_path)

    assert magic in path.read_bytes()[:16]
    assert path.parent == tmp_path


# --- the command line -----------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(command, list(words))


def test_models_are_listed_with_prices_and_found_by_words():
    """What is gone is shown only with --all."""
    listed = {line.split("\t")[0]: line.split("\t")[2] for line in run("models").stdout.splitlines()}
    found = [line.split("\t")[0] for line in run("models", "SEEDANCE", "2-5").stdout.splitlines()]

    assert set(CURRENT) <= set(listed)
    assert not set(GONE) & set(listed)
    assert listed["z-image"] == "0.63 RUB per image"
    assert listed["kling-3.0/video"] == "11.01..52.66 RUB per second"
    assert listed["veo-3-1"] == "at most 196.47..298.63 RUB per video"
    assert found == ["bytedance/seedance-2-5"]
    assert "sora-2-text-to-video\t" in run("models", "--all", "sora-2").stdout


def test_a_model_is_shown_with_everything_that_a_buyer_needs():
    """Types, both kinds of defaults, limits of files, every row of the prices, rules, an example, the page and its day."""
    lines = run("model", "minimax-h3/reference-to-video").stdout.splitlines()

    assert "Kie charges, as of 2026-10-01:" in lines
    assert (
        "13 credits per second\t0.065 USD\t10.22 RUB\tresolution is '2K', reference_video_urls is not given, times duration"
        in lines
    )
    assert (
        "4 credits per input image after the fifth\t0.020 USD\t3.15 RUB\tadded, times the items of reference_image_urls after the first 5"
        in lines
    )
    assert "duration\tone of 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\tdefault 6\tlength in seconds" in lines
    assert "resolution\tone of '768P', '2K'\tKie's default '2K'\toutput tier" in lines
    assert any(line.startswith("reference_video_urls\t") and "mp4, mov; up to 50 MB; 2..15 s" in line for line in lines)
    assert lines[-1] == "source: docs.kie.ai/market/minimax-h3/reference-to-video, read 2026-10-07"


def test_the_same_as_json():
    """For programs."""
    shown = json.loads(run("model", "bytedance/seedream-v4-edit", "--json").stdout)
    inputs = {field["name"]: field for field in shown["inputs"]}

    assert shown["credits"] == [
        {"credits": 5, "when": {}, "wires": None, "per": "image", "times": "times max_images", "at_most": True}
    ]
    assert (inputs["max_images"]["default"], inputs["max_images"]["vendor_default"]) == (None, 1)


def test_an_old_name_on_the_command_line_is_told_the_new_one():
    """Exit code 2, and nothing is bought."""
    result = run("generate", "kling/v1-avatar-standard", "prompt=a", "--sandbox")

    assert result.exit_code == 2
    assert "moved to 'kling/ai-avatar-standard'" in result.stderr


@pytest.mark.usefixtures("in_haste")
def test_the_example_that_the_help_prints_can_be_bought_in_the_sandbox(tmp_path, monkeypatch):
    """Word for word."""
    monkeypatch.chdir(tmp_path)
    (line,) = [
        line for line in run("model", "grok-imagine/text-to-video").stdout.splitlines() if line.startswith("try: ")
    ]

    result = run(*shlex.split(line)[2:])

    assert result.exit_code == 0, result.stderr
    assert result.stdout.strip().endswith(".mp4")


def test_no_old_id_has_a_price_where_only_kie_can_count_what_it_costs():
    """Else a job that may cost anything would pass every limit; an id that says how long it is counts its own."""
    registry = DISPATCHER.plugins.registry
    cheap = []
    for old in registry:
        if old.category != "legacy-v3" or old.status == "gone" or old.wire_model not in registry:
            continue
        params = validate(old, example_inputs(old))
        price = DISPATCHER.price(old, params, "jobs")
        rows = registry.get(old.wire_model).wire_prices
        open_ended = price.credits is None and any(
            row.times is not None and row.times.kind == "unknown" for row in rows
        )
        if open_ended and price.contract is not None and not (old.unit or "").startswith("second x"):
            cheap.append(old.id)

    assert cheap == []


@pytest.mark.parametrize(
    ("inputs", "credits"),
    [
        ({"video_urls": ["https://e.com/a.mp4"]}, None),
        ({"video_urls": ["https://e.com/a.mp4"], "image_urls": ["https://e.com/a.png"], "duration": "15"}, 67 * 15),
    ],
)
def test_a_video_that_is_changed_costs_by_its_own_length(inputs, credits):
    """Which only Kie knows; a length can be said where pictures make it up."""
    inputs = {**inputs, "prompt": "p", "resolution": "4k"}

    assert DISPATCHER.job("kling-3.0-omni/transformation", inputs, job_id="j1").price.credits == credits
    for odd in ("0.01", "1", "16", "1e1"):
        with pytest.raises(InvalidJob):
            DISPATCHER.job("kling-3.0-omni/transformation", {**inputs, "duration": odd}, job_id="j1")
