"""A Telegram bot that sells pictures, songs and videos of Kie.ai. README.md says how to run it.

This module is what a person can press and type; `shop` is what costs money; `chat` is what a person sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import SimpleEventIsolation
from aiogram.types import BotCommand, CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from chat import Language, language_of, text
from shop import Shop

from kie_core import InvalidJob
from kie_core.router import build_category_payload

router = Router()


class Asking(StatesGroup):
    """What the bot waits for. Kept in memory: whoever is asked during a restart begins anew with /models."""

    image = State()
    prompt = State()


# --- choosing, free --------------------------------------------------------------------------


@router.message(CommandStart())
async def start(message: Message) -> None:
    await message.answer(text("start", _language(message)))


@router.message(Command("models"))
async def show_models(message: Message, state: FSMContext, shop: Shop) -> None:
    await state.clear()
    language = _language(message)
    buttons = [
        [
            InlineKeyboardButton(
                text=text("priced", language, title=row["title"], price=f"{row['pricing']['rub_per_use']:.2f}"),
                callback_data=f"model:{model}",
            )
        ]
        for model, row in sorted(shop.models.items(), key=lambda item: float(item[1]["pricing"]["rub_per_use"]))
    ]
    await message.answer(text("choose", language), reply_markup=InlineKeyboardMarkup(inline_keyboard=buttons))


@router.message(Command("budget"))
async def show_budget(message: Message, shop: Shop) -> None:
    assert message.from_user is not None  # channels send no commands
    spent, reserved, limit = await shop.spent(message.from_user.id)
    words = text("budget", _language(message), spent=f"{spent:.2f}", reserved=f"{reserved:.2f}", limit=f"{limit:.2f}")
    await message.answer(words)


@router.callback_query(F.data.startswith("model:"))
async def choose_model(callback: CallbackQuery, state: FSMContext, bot: Bot, shop: Shop) -> None:
    await _answer(callback)
    model = (callback.data or "").removeprefix("model:")
    language = language_of(callback.from_user.language_code)
    if callback.message is None:
        return
    row = shop.models.get(model)
    if row is None:  # a button from before the last update
        await bot.send_message(callback.message.chat.id, text("no_model", language, model=model))
        return
    needs_image = "image_url" in row["input_schema"]["required"]
    await state.set_state(Asking.image if needs_image else Asking.prompt)
    await state.set_data({"model": model})
    words = text("ask_image" if needs_image else "ask_prompt", language, title=row["title"])
    await bot.send_message(callback.message.chat.id, words)


@router.message(Asking.image)
async def take_image(message: Message, state: FSMContext, shop: Shop) -> None:
    """Take a public link. Telegram's own link to a photo will not do: it contains this bot's token."""
    found = re.search(r"https?://\S+", message.text or message.caption or "")
    if found is None:
        await message.answer(text("no_link", _language(message)))
        return
    data = await state.update_data(image_url=found[0])
    await state.set_state(Asking.prompt)
    await message.answer(text("ask_prompt", _language(message), title=shop.models[data["model"]]["title"]))


@router.message(Asking.prompt)
async def take_prompt(message: Message, state: FSMContext, shop: Shop) -> None:
    assert message.from_user is not None
    language = _language(message)
    inputs: dict[str, Any] = {**await state.get_data(), "prompt": message.text}
    model = inputs.pop("model")
    title = shop.models[model]["title"]
    if not message.text:
        await message.answer(text("ask_prompt", language, title=title))
        return
    try:
        build_category_payload(model, inputs)
    except InvalidJob as error:
        faults = "\n".join(map(str, error.faults))
        await message.answer(text("will_not_do", language, title=title, faults=faults))
        return
    await state.clear()
    await shop.offer(message.from_user.id, message.chat.id, language, model, inputs)


@router.message(F.chat.type == "private")
async def explain(message: Message) -> None:
    await message.answer(text("choose_first", _language(message)))


# --- buying ----------------------------------------------------------------------------------


@router.callback_query(F.data.startswith("buy:"))
async def buy(callback: CallbackQuery, shop: Shop) -> None:
    """Buy what was offered. **Costs money**, once: however often it is pressed, and however often Telegram says so."""
    if callback.message is None:
        return
    order = (callback.data or "").removeprefix("buy:")
    said = shop.buy(order, callback.from_user.id, callback.message.message_id)
    await _answer(callback, text(said, language_of(callback.from_user.language_code)))


@router.callback_query(F.data.startswith("cancel:"))
async def cancel(callback: CallbackQuery, bot: Bot, shop: Shop) -> None:
    if callback.message is None:
        return
    order_id = (callback.data or "").removeprefix("cancel:")
    order = shop.cancel(order_id, callback.from_user.id, callback.message.message_id)
    if order is None:
        await _answer(callback, text("not_on_offer", language_of(callback.from_user.language_code)))
        return
    await _answer(callback)
    await bot.edit_message_text(text("cancelled", order.language), chat_id=order.chat, message_id=order.message)


async def _answer(callback: CallbackQuery, words: str | None = None) -> None:
    with contextlib.suppress(TelegramAPIError):  # one that comes again after a restart is too old to be answered
        await callback.answer(words)


def _language(message: Message) -> Language:
    return language_of(None if message.from_user is None else message.from_user.language_code)


# --- running ---------------------------------------------------------------------------------


async def greet_telegram(bot: Bot) -> None:
    """Tell Telegram that the bot asks for updates itself, and what can be typed."""
    await bot.delete_webhook()
    for language in ("en", "ru"):
        commands = [
            BotCommand(command=name, description=text(f"command_{name}", language)) for name in ("models", "budget")
        ]
        await bot.set_my_commands(commands, language_code=None if language == "en" else language)


async def main() -> None:
    """Run until SIGTERM or Ctrl-C."""
    environment = os.environ
    token = environment.get("BOT_TOKEN") or sys.exit("set BOT_TOKEN, which @BotFather tells you")
    server = environment.get("TELEGRAM_API")
    session = AiohttpSession(api=TelegramAPIServer.from_base(server)) if server else None
    bot = Bot(token, session=session)
    async with Shop(
        bot,
        Path(environment.get("BOT_ORDERS", "bot-orders.sqlite")),
        max_price_rub=Decimal(environment.get("BOT_MAX_PRICE_RUB", "400")),
        max_total_rub=Decimal(environment.get("BOT_MAX_TOTAL_RUB", "1000")),
        pause=float(environment.get("BOT_EDIT_SECONDS", "3")),
    ) as shop:
        if shop.kie.settings.api_key is None:
            sys.exit("set KIE_API_KEY, from https://kie.ai/api-key")
        dispatcher = Dispatcher(events_isolation=SimpleEventIsolation())  # one thing after the other, for each person
        dispatcher.include_router(router)
        dispatcher.startup.register(greet_telegram)
        dispatcher.startup.register(shop.resume)
        dispatcher.shutdown.register(shop.close)
        await dispatcher.start_polling(bot, shop=shop)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(main())
