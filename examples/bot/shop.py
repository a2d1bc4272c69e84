"""What costs money: an order is bought once, and its result is delivered, whatever happens in between.

An order goes from ``offered`` to ``bought`` when its button is pressed, and to ``closed`` when the person knows what
became of it. The step to ``bought`` is one statement in a database, so of two taps only one orders. The order's id is
the job key of the purchase, so kie-core's ledger and this table speak of the same thing, and even an order that is
bought again by mistake is the same job. After a restart nothing is bought: what the ledger knows of an open order is
delivered, and what it does not know was not bought.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import attrs
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramForbiddenError
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from chat import Language, StatusMessage, send_results, shortened, text

from kie_core import Budget, Entry, JobFailed, Kie, KieError, LedgerError, SubmitUnknown
from kie_core.generator import KieGenerator
from kie_core.router import get_all_v4_models

#: Seconds for which a purchase is told step by step; after that its result comes when it comes.
PATIENCE: Final = 1800.0
#: Seconds in which the bot says good-bye.
_FAREWELL_SECONDS: Final = 10.0

log = logging.getLogger("bot")


@attrs.frozen
class Order:
    """What somebody was offered.

    Attributes:
        id: Random, because it names the purchase in the ledger for ever.
        user: Who may buy it.
        chat: Where it was offered.
        language: The person's.
        model: A model id.
        title: The model's name for people.
        price: Roubles, as offered.
        inputs: What is bought.
        message: The message with the offer, which says how things stand once it was bought; 0: it was not.
    """

    id: str
    user: int
    chat: int
    language: Language
    model: str
    title: str
    price: str
    inputs: Mapping[str, Any]
    message: int = 0

    @property
    def job_key(self) -> str:
        """What the purchase is called in the ledger."""
        return f"bot:{self.id}"

    @property
    def scope(self) -> str:
        """On what the ledger books it."""
        return scope_of(self.user)

    @property
    def offer(self) -> str:
        """The text of the offer."""
        prompt = shortened("\n".join(str(value) for value in self.inputs.values()))
        return text("offer", self.language, title=self.title, price=self.price, prompt=prompt)

    @property
    def buttons(self) -> InlineKeyboardMarkup:
        """What may be pressed under the offer."""
        buy = InlineKeyboardButton(text=text("buy", self.language, price=self.price), callback_data=f"buy:{self.id}")
        cancel = InlineKeyboardButton(text=text("cancel", self.language), callback_data=f"cancel:{self.id}")
        return InlineKeyboardMarkup(inline_keyboard=[[buy, cancel]])


def scope_of(user: int) -> str:
    """Return what the ledger calls a person's budget."""
    return f"user:{user}"


class Orders:
    """All orders, in a file; each step is on the disk before anything else happens.

    Args:
        place: The file.
    """

    def __init__(self, place: Path) -> None:
        self._database = sqlite3.connect(place, isolation_level=None)
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, user INTEGER, chat INTEGER, language TEXT,"
            " model TEXT, title TEXT, price TEXT, inputs TEXT, message INTEGER, state TEXT)"
        )

    def offer(self, order: Order) -> None:
        """Keep an order that somebody may buy."""
        row = {**attrs.asdict(order), "inputs": json.dumps(order.inputs)}
        self._database.execute(
            "INSERT INTO orders VALUES (:id, :user, :chat, :language, :model, :title, :price, :inputs, :message,"
            " 'offered')",
            row,
        )

    def take(self, order_id: str, user: int, message: int, state: str) -> Order | None:
        """Move an offered order to *state*; None: it is not on offer, or not to this person."""
        rows = self._database.execute(
            "UPDATE orders SET state = ?, message = ? WHERE id = ? AND user = ? AND state = 'offered' RETURNING *",
            (state, message, order_id, user),
        ).fetchall()
        return _order(rows[0]) if rows else None

    def offer_again(self, order: Order) -> None:
        """Nothing was bought: its button counts again."""
        self._set(order, "offered")

    def close(self, order: Order) -> None:
        """The person knows what became of it."""
        self._set(order, "closed")

    def bought(self) -> list[Order]:
        """Return the orders of which somebody still has to hear."""
        return [_order(row) for row in self._database.execute("SELECT * FROM orders WHERE state = 'bought'")]

    def disconnect(self) -> None:
        self._database.close()

    def _set(self, order: Order, state: str) -> None:
        self._database.execute("UPDATE orders SET state = ? WHERE id = ?", (state, order.id))


def _order(row: tuple[Any, ...]) -> Order:
    id, user, chat, language, model, title, price, inputs, message, _ = row
    return Order(id, user, chat, language, model, title, price, json.loads(inputs), message)


class Shop:
    """Offers, buys and delivers. Use it as ``async with Shop(...) as shop:``.

    Args:
        bot: Who speaks to people.
        orders: The file of the orders.
        max_price_rub: What one order may cost.
        max_total_rub: What all orders of one person may cost.
        pause: Seconds between two edits of one message.

    Attributes:
        models: The rows of the six models, by their ids.
        kie: The ledger.
    """

    def __init__(self, bot: Bot, orders: Path, *, max_price_rub: Decimal, max_total_rub: Decimal, pause: float) -> None:
        self.models = {row["model_id"]: row for row in get_all_v4_models()}
        self.kie = Kie()
        self._generators: dict[Language, KieGenerator] = {
            "en": KieGenerator(use_v4=True, language="en"),
            "ru": KieGenerator(use_v4=True, language="ru"),
        }
        self._bot = bot
        self._orders = Orders(orders)
        self._max_price, self._max_total, self._pause = max_price_rub, max_total_rub, pause
        self._running: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    async def __aenter__(self) -> Self:
        self._open = contextlib.AsyncExitStack()
        self._open.callback(self._orders.disconnect)
        await self._open.enter_async_context(self.kie)
        for generator in self._generators.values():
            await self._open.enter_async_context(generator)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    # --- offering, free ---------------------------------------------------------------------

    async def offer(self, user: int, chat: int, language: Language, model: str, inputs: Mapping[str, Any]) -> None:
        """Show somebody what an order would cost, with a button that buys it. Free."""
        row = self.models[model]
        price = f"{row['pricing']['rub_per_use']:.2f}"
        order = Order(secrets.token_hex(8), user, chat, language, model, row["title"], price, inputs)
        self._orders.offer(order)
        await self._bot.send_message(chat, order.offer, reply_markup=order.buttons)

    async def spent(self, user: int) -> tuple[Decimal, Decimal, Decimal]:
        """Return what a person has spent, what is set aside for what goes on, and the limit, in roubles."""
        entries = await self.kie.booked(scope_of(user))
        spent, reserved = sum(entry.spent for entry in entries), sum(entry.reserved for entry in entries)
        return Decimal(spent) / 100, Decimal(reserved) / 100, self._max_total

    def cancel(self, order_id: str, user: int, message: int) -> Order | None:
        """Call an offer off; None: it is none any more."""
        return self._orders.take(order_id, user, message, "closed")

    # --- buying -----------------------------------------------------------------------------

    def buy(self, order_id: str, user: int, message: int) -> str:
        """Buy what was offered. **Costs money**, once, however often it is called.

        Nothing is awaited in here, so that no second tap and no shutdown comes in between.

        Args:
            order_id: The order.
            user: Who pressed the button.
            message: Under which message it was.

        Returns:
            The key of the words for the answer.
        """
        if self._closing:
            return "closing"
        order = self._orders.take(order_id, user, message, "bought")
        if order is None:
            return "not_on_offer"
        self._start(order, None)
        return "ordered"

    def _start(self, order: Order, entry: Entry | None) -> None:
        task = asyncio.create_task(self._bring_to_an_end(order, entry))
        self._running[order.id] = task
        task.add_done_callback(lambda _: self._running.pop(order.id, None))

    async def _bring_to_an_end(self, order: Order, entry: Entry | None) -> None:
        status = StatusMessage(self._bot, order.chat, order.message, self._pause)
        try:
            if entry is None:
                await self._buy(order, status)
            else:
                await self._follow(order, entry, status)
        except TelegramForbiddenError as error:
            log.warning("order %s: nobody can be told any more: %s", order.id, error)
            self._orders.close(order)
        except TelegramAPIError as error:
            log.warning("order %s: it is told at the next start: %s", order.id, error)
        except Exception:  # nobody waits for this task; the order stays open, and is looked at at the next start
            log.exception("order %s", order.id)
        finally:
            status.stop()

    async def _buy(self, order: Order, status: StatusMessage) -> None:
        budget = Budget(
            max_price_rub=min(self._max_price, Decimal(order.price)),  # no more than the person agreed to
            max_total_rub=self._max_total,
            scope=order.scope,
        )
        made = await self._generators[order.language].generate(
            order.model, order.inputs, status.say, PATIENCE, job_key=order.job_key, budget=budget
        )
        if made["success"]:
            await self._deliver(order, status, made["message"], made["result_urls"])
            return
        try:
            entry = _entry_of(order, await self.kie.booked(order.scope))
        except LedgerError:  # what became of it, the next start finds out
            await status.end(made["message"])
            return
        if entry is not None and entry.state == "running":
            await self._follow(order, entry, status)
            return
        await status.end(made["message"])
        if not _may_change(entry):
            self._orders.close(order)

    async def _follow(self, order: Order, entry: Entry, status: StatusMessage) -> None:
        """Wait for what was bought, however long it takes. Free."""
        if entry.state == "running":
            status.say(text("goes_on", order.language))
        task = await self.kie.task(entry.id)
        try:
            outcome = await task.wait(math.inf)
        except SubmitUnknown:
            await status.end(text("unknown", order.language))
        except JobFailed as error:
            await status.end(text("failed", order.language, reason=error.message or error.state))
            if not _may_change(await self.kie.entry(entry.id)):
                self._orders.close(order)
        except KieError as error:  # it goes on and cannot be read: the next start tries again
            log.warning("order %s: %s", order.id, error)
        else:
            urls = [one.url for one in outcome.artifacts if one.url is not None and one.role == "result"]
            await self._deliver(order, status, text("done" if urls else "no_result", order.language), urls)

    async def _deliver(self, order: Order, status: StatusMessage, message: str, urls: list[str]) -> None:
        await status.end(message)
        media = self.models[order.model]["output_type"].partition("/")[0] if order.model in self.models else ""
        await send_results(self._bot, order.chat, urls, media)
        self._orders.close(order)

    # --- starting and stopping --------------------------------------------------------------

    async def resume(self) -> None:
        """Take up the orders of the last run. Buys nothing."""
        entries = await self.kie.jobs()
        for order in self._orders.bought():
            entry = _entry_of(order, entries)
            if entry is None or not entry.bought:
                await self._nothing_bought(order)
            else:
                self._start(order, entry)

    async def close(self) -> None:
        """Buy nothing more, and tell those who wait that their orders go on."""
        self._closing = True
        running = dict(self._running)
        for task in running.values():
            task.cancel()  # a create that is on its way still gets its answer
        await asyncio.gather(*running.values(), return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await asyncio.gather(*(self._say_farewell(one) for one in self._orders.bought() if one.id in running))

    async def _say_farewell(self, order: Order) -> None:
        try:
            entry = _entry_of(order, await self.kie.booked(order.scope))
        except LedgerError as error:  # what became of it, the next start finds out
            log.warning("order %s: %s", order.id, error)
            return
        if entry is None or not entry.bought:
            await self._nothing_bought(order)
        else:
            key = "unknown" if entry.state == "unknown" else "goes_on"
            await self._tell(order, text(key, order.language))

    async def _nothing_bought(self, order: Order) -> None:
        self._orders.offer_again(order)
        await self._tell(order, text("nothing_bought", order.language, offer=order.offer), order.buttons)

    async def _tell(self, order: Order, words: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
        status = StatusMessage(self._bot, order.chat, order.message, self._pause)
        try:
            await status.end(words, keyboard)
        except TelegramAPIError as error:
            log.warning("order %s: %s", order.id, error)


def _may_change(entry: Entry | None) -> bool:
    """Tell whether more may be known at the next start: of what is unknown, and of what Kie had lost sight of."""
    return entry is not None and (entry.state == "unknown" or entry.may_return)


def _entry_of(order: Order, entries: Iterable[Entry]) -> Entry | None:
    return next((entry for entry in entries if entry.job_key == order.job_key), None)
