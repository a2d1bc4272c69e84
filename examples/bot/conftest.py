"""A fake Telegram, a fake Kie whose clock the test turns, and the bot between the two."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from aiohttp import web

from kie_sandbox import Sandbox, serve

FOLDER = Path(__file__).parent
TOKEN = "42:TEST"
#: Seconds in which whatever a test waits for has to happen.
SECONDS = 60


class FakeTelegram:
    """A Bot API server for one bot: it keeps updates until they are confirmed, and remembers what was said.

    Attributes:
        calls: Every call but the questions for updates: the method, and its fields.
        messages: What the bot has sent, as it stands now, by its number.
        polls: How often the bot has asked for updates.
        failures: Method -> the answers with which its next calls fail: a status and a description.
    """

    def __init__(self):
        self.calls = []
        self.failures = {}
        self.messages = {}
        self.polls = 0
        self._updates = []
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self._closed = False

    @contextlib.asynccontextmanager
    async def served(self):
        application = web.Application()
        application.router.add_post("/bot{token}/{method}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self._closed = True
            self.tell()
            await runner.cleanup()

    def tell(self):
        """Something has happened: whoever waits looks again."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self):
        await self._news.wait()

    def deliver(self, **update):
        """Have the bot get an update; one that was there before comes again, as after a lost confirmation."""
        self._updates.append({"update_id": next(self._numbers), **update})
        self.tell()
        return update

    def number(self):
        return next(self._numbers)

    async def _answer(self, request):
        if request.match_info["token"] != TOKEN:
            return _failed(401, "Unauthorized")
        method, fields = request.match_info["method"], dict(await request.post())
        if method == "getUpdates":
            self.polls += 1
            self.tell()
            return _succeeded(await self._confirmed(int(fields.get("offset", 0)), float(fields.get("timeout", 0))))
        self.calls.append((method, fields))
        failures = self.failures.get(method)
        try:
            if failures:
                return _failed(*failures.pop(0))
            return self._done(method, fields)
        finally:
            self.tell()

    async def _confirmed(self, offset, seconds):
        self._updates = [update for update in self._updates if update["update_id"] >= offset]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._updates and not self._closed:
                    await self.news()
        return self._updates

    def _done(self, method, fields):
        if method == "getMe":
            return _succeeded({"id": 42, "is_bot": True, "first_name": "Shop", "username": "shop_bot"})
        if method == "sendMessage":
            return _succeeded(self._message(fields))
        if method == "editMessageText":
            known = self.messages.get(int(fields["message_id"]))
            if known is None:
                return _failed(400, "Bad Request: message to edit not found")
            markup = json.loads(fields.get("reply_markup", "null"))
            if (known["text"], known.get("reply_markup")) == (fields["text"], markup):
                return _failed(400, "Bad Request: message is not modified")
            known.update(text=fields["text"], reply_markup=markup)
            return _succeeded(known)
        if method in ("sendPhoto", "sendVideo", "sendAudio", "sendDocument"):
            return _succeeded(self._message(fields))
        return _succeeded(True)

    def _message(self, fields):
        number = self.number()
        self.messages[number] = {
            "message_id": number,
            "date": int(time.time()),
            "chat": {"id": int(fields["chat_id"]), "type": "private"},
            "text": fields.get("text", ""),
            "reply_markup": json.loads(fields.get("reply_markup", "null")),
        }
        return self.messages[number]


def _succeeded(result):
    return web.json_response({"ok": True, "result": result})


def _failed(code, description):
    body = {"ok": False, "error_code": code, "description": description}
    if code == 429:
        body["parameters"] = {"retry_after": 1}
    return web.json_response(body, status=code)


class FakeKie(Sandbox):
    """A sandbox whose tasks move only when a test turns the clock."""

    def __init__(self):
        self.seconds = time.time()
        self.heard = lambda: None
        super().__init__(clock=lambda: self.seconds)

    def handle(self, request):
        response = super().handle(request)
        self.heard()
        return response

    def finish(self):
        """Let every task come to its end."""
        self.seconds += 1000


class Person:
    """Somebody with a Telegram."""

    def __init__(self, scene, id, language):
        self._scene, self.id = scene, id
        self._user = {"id": id, "is_bot": False, "first_name": "Somebody", "language_code": language}
        self._chat = {"id": id, "type": "private"}

    def says(self, text=None, **more):
        message = {
            "message_id": self._scene.telegram.number(),
            "date": int(time.time()),
            "chat": self._chat,
            "from": self._user,
            **({} if text is None else {"text": text}),
            **more,
        }
        return self._scene.telegram.deliver(message=message)

    def taps(self, label):
        """Press the newest button that begins with *label*."""
        message, data = next(self._buttons(label))
        return self.taps_data(data, message)

    def taps_data(self, data, message=None):
        query = {
            "id": str(self._scene.telegram.number()),
            "from": self._user,
            "message": message or {"message_id": 1, "date": 1, "chat": self._chat, "text": "an old message"},
            "chat_instance": "1",
            "data": data,
        }
        return self._scene.telegram.deliver(callback_query=query)

    def _buttons(self, label, since=0):
        for message in reversed([one for one in self._scene.telegram.messages.values() if one["message_id"] > since]):
            rows = (message["reply_markup"] or {}).get("inline_keyboard", [])
            for button in itertools.chain(*rows):
                if message["chat"]["id"] == self.id and button["text"].startswith(label):
                    yield message, button["callback_data"]

    @property
    def heard(self):
        """Everything that was shown, in order: texts, edits, and what was sent as ``photo: address``."""
        return [
            fields["text"] if "text" in fields else f"{method.removeprefix('send').lower()}: {_address(fields)}"
            for method, fields in self._scene.telegram.calls
            if fields.get("chat_id") == str(self.id)
        ]

    @property
    def told(self):
        """The short answers to taps, of all people."""
        return [f.get("text", "") for method, f in self._scene.telegram.calls if method == "answerCallbackQuery"]

    async def hears(self, beginning, times=1):
        """Wait until something that begins so was shown, and return it."""
        found = await self._scene.until(
            lambda: [one for one in self.heard if one.startswith(beginning)][times - 1 : times]
        )
        return found[0]

    async def sees_button(self, label, since=0):
        await self._scene.until(lambda: next(self._buttons(label, since), None))

    async def gets_an_offer(self, title="GPT-4o Image", prompt="a cute cat", button="Buy"):
        """Go all the way to the button that buys."""
        now = self._scene.telegram.number()
        self.says("/models")
        await self.sees_button(title, since=now)
        self.taps(title)
        self.says(prompt)
        await self.sees_button(button, since=now)


def _address(fields):
    return next(fields[name] for name in ("photo", "video", "audio", "document") if name in fields)


class Scene:
    """The bot between its two servers.

    Attributes:
        environment: What the bot finds in its environment.
    """

    def __init__(self, telegram, kie, kie_url, folder, log, monkeypatch):
        self.telegram, self.kie = telegram, kie
        self._log, self._log_file = log, folder / "bot.log"
        self._monkeypatch = monkeypatch
        self._running = None
        self.orders = folder / "orders.sqlite"
        self.environment = {
            "BOT_TOKEN": TOKEN,
            "BOT_ORDERS": str(self.orders),
            "BOT_EDIT_SECONDS": "0",
            "TELEGRAM_API": telegram.url,
            "KIE_API_KEY": "sandbox",
            "KIE_BASE_URL": kie_url,
            "KIE_LEDGER": str(folder / "ledger.sqlite"),
        }

    def person(self, id=7, language="en"):
        return Person(self, id, language)

    async def start(self, **environment):
        """Run the bot in this process, which is quick, until it listens."""
        before = self.telegram.polls
        for name, value in {**self.environment, **environment}.items():
            self._monkeypatch.setenv(name, value)
        self._running = asyncio.create_task(fresh("bot").main())
        self._running.add_done_callback(lambda _: self.telegram.tell())
        await self.until(lambda: self.telegram.polls > before)

    async def stop(self):
        """End what `start` began, as SIGTERM does."""
        running, self._running = self._running, None
        if running is not None and not running.done():
            signal.raise_signal(signal.SIGTERM)
            await running

    @contextlib.asynccontextmanager
    async def process(self):
        """Run the bot in a process of its own, as somebody types it; what still runs in the end is killed."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
        with self._log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(FOLDER / "bot.py"), env={**environment, **self.environment}, stderr=log
            )
        self._running = asyncio.create_task(process.wait())
        self._running.add_done_callback(lambda _: self.telegram.tell())
        try:
            yield process
        finally:
            running, self._running = self._running, None
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await running

    async def until(self, look):
        """Wait until *look* finds something, and return it."""
        try:
            async with asyncio.timeout(SECONDS):
                while not (found := look()):
                    if self._running is not None and self._running.done():
                        pytest.fail(f"the bot has ended: {self._running}\n{self.log}")
                    await self.telegram.news()
        except TimeoutError:
            pytest.fail(f"it did not happen; {self.telegram.calls}\n{self.log}")
        return found

    @property
    def log(self):
        written = self._log_file.read_text() if self._log_file.exists() else ""
        return self._log.text + written


def fresh(module):
    """Import a module of the bot as a new process would."""
    for name in ("bot", "shop", "chat"):
        sys.modules.pop(name, None)
    return importlib.import_module(module)


@pytest.fixture(autouse=True)
def _the_modules_of_the_bot(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in ("bot", "shop", "chat"):
        sys.modules.pop(name, None)


@pytest.fixture
async def telegram():
    async with FakeTelegram().served() as fake:
        yield fake


@pytest.fixture
async def scene(telegram, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    kie, loop = FakeKie(), asyncio.get_running_loop()
    kie.heard = lambda: loop.call_soon_threadsafe(telegram.tell)
    listener = logging.Handler()
    listener.emit = lambda _: kie.heard()
    logging.getLogger().addHandler(listener)
    with serve(sandbox=kie) as url:
        made = Scene(telegram, kie, url, tmp_path, caplog, monkeypatch)
        try:
            yield made
            await made.stop()
        finally:
            logging.getLogger().removeHandler(listener)
        await asyncio.sleep(0)  # what the sandbox's thread still had to say
    assert "Traceback" not in made.log, made.log


@pytest.fixture
def bot():
    """The bot's main module."""
    return fresh("bot")


@pytest.fixture
def chat():
    """The bot's words."""
    return fresh("chat")
