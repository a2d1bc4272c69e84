"""What people see: the words, the one message that says how an order stands, and the results."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Literal, TypeAlias, TypeVar

from aiogram import Bot
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.types import InlineKeyboardMarkup

T = TypeVar("T")
Language: TypeAlias = Literal["en", "ru"]

#: Key -> English, Russian. How a job goes on, and what went wrong with it, `KieGenerator` says in its own words.
TEXTS: Final[dict[str, tuple[str, str]]] = {
    "start": (
        "I make pictures, songs and videos.\n/models: choose what to make\n/budget: what you have spent",
        "Я делаю картинки, песни и видео.\n/models: выбрать, что сделать\n/budget: сколько вы потратили",
    ),
    "command_models": ("What I can make, with prices", "Что я умею и сколько это стоит"),
    "command_budget": ("What you have spent", "Сколько вы потратили"),
    "choose": ("What shall it be?", "Что делаем?"),
    "priced": ("{title}: {price} RUB", "{title}: {price} ₽"),
    "no_model": ("There is no model {model} any more: /models", "Модели {model} больше нет: /models"),
    "choose_first": ("Choose a model first: /models", "Сначала выберите модель: /models"),
    "ask_prompt": ("{title}. Describe what you want.", "{title}. Опишите, что сделать."),
    "ask_image": (
        "{title}. Send the public link of the picture that shall move.",
        "{title}. Пришлите публичную ссылку на картинку, которую нужно оживить.",
    ),
    "no_link": (
        "I need a link that begins with https://. I cannot pass a photo on from here: put it somewhere public.",
        "Нужна ссылка, которая начинается с https://. Само фото передать нельзя: выложите его в открытый доступ.",
    ),
    "will_not_do": ("{title} cannot take this:\n{faults}\nTry again.", "{title} не примет это:\n{faults}\nЕщё раз."),
    "offer": ("{title}: {price} RUB.\n\n{prompt}\n\nBuy it?", "{title}: {price} ₽.\n\n{prompt}\n\nКупить?"),
    "buy": ("Buy for {price} RUB", "Купить за {price} ₽"),
    "cancel": ("No", "Нет"),
    "cancelled": ("Called off, nothing was bought. /models", "Отменено, ничего не куплено. /models"),
    "ordered": ("Ordered", "Заказано"),
    "not_on_offer": ("This was ordered or called off already", "Уже заказано или отменено"),
    "closing": ("I am about to restart, press again in a minute", "Перезапускаюсь, нажмите ещё раз через минуту"),
    "goes_on": (
        "It goes on and is paid. The result comes by itself, do not order it again.",
        "Задание продолжается и оплачено. Результат придёт сам, не заказывайте снова.",
    ),
    "nothing_bought": (
        "I was restarted before anything was bought.\n\n{offer}",
        "Меня перезапустили раньше, чем что-то было куплено.\n\n{offer}",
    ),
    "unknown": (
        "Nobody knows yet whether Kie took it. Do not order it again; the owner of this bot can find out.",
        "Пока неизвестно, принял ли Kie задание. Не заказывайте снова; владелец бота может выяснить.",
    ),
    "failed": ("Kie could not make it: {reason}", "Kie не смог выполнить задание: {reason}"),
    "no_result": (
        "It is paid and done, but Kie names no result. The owner of this bot can find out more.",
        "Задание оплачено и готово, но Kie не называет результата. Владелец бота может выяснить.",
    ),
    "done": ("Done.", "Готово."),
    "budget": (
        "Spent: {spent} RUB. Set aside for what goes on: {reserved} RUB. Your limit: {limit} RUB.",
        "Потрачено: {spent} ₽. Отложено на то, что в работе: {reserved} ₽. Ваш лимит: {limit} ₽.",
    ),
}

#: Characters of one message at the most, and of a prompt that is shown in one.
LONGEST: Final = 4096
_LONGEST_PROMPT: Final = 1000
#: How often a message that has to arrive is sent, and the seconds in between where Telegram names none.
_TRIES: Final = 5
_AGAIN_SECONDS: Final = 2.0

log = logging.getLogger("bot")


def language_of(code: str | None) -> Language:
    """Return the language in which to speak to a person whose Telegram is set to *code*."""
    return "ru" if (code or "").lower().startswith("ru") else "en"


def text(key: str, language: Language, **facts: object) -> str:
    """Return the words *key* in *language*."""
    return TEXTS[key][language == "ru"].format(**facts)


def shortened(prompt: str) -> str:
    """Return as much of a prompt as is shown."""
    return prompt if len(prompt) <= _LONGEST_PROMPT else prompt[:_LONGEST_PROMPT] + "…"


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Call Telegram until it has heard: wait as long as it asks for, and try again where it did not answer."""
    for _ in range(_TRIES - 1):
        try:
            return await call()
        except TelegramEntityTooLarge:  # also a network error, by name
            raise
        except TelegramRetryAfter as error:
            log.warning("Telegram wants a pause of %s s", error.retry_after)
            await asyncio.sleep(error.retry_after)
        except (TelegramNetworkError, TelegramServerError) as error:
            log.warning("Telegram did not take it: %s", error)
            await asyncio.sleep(_AGAIN_SECONDS)
    return await call()


class StatusMessage:
    """A message that says how an order stands.

    Whoever says something never waits for Telegram. Between two edits lies a pause, and only the newest text is
    shown; an edit that fails is logged, and nothing else happens.

    Args:
        bot: Whose message it is.
        chat: Where it is.
        message: Its id.
        pause: Seconds between two edits.
    """

    def __init__(self, bot: Bot, chat: int, message: int, pause: float) -> None:
        self._bot, self._chat, self._message, self._pause = bot, chat, message, pause
        self._newest = ""
        self._said = asyncio.Event()
        self._on_its_way = asyncio.Lock()
        self._editing = asyncio.create_task(self._keep_editing())

    def say(self, text: str) -> None:
        """Show *text* soon, unless something newer is said until then."""
        self._newest = text
        self._said.set()

    async def end(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
        """Say the last word, and see to it that it arrives: as a message of its own if there is nothing to edit."""
        async with self._on_its_way:
            self.stop()
        try:
            await insist(lambda: self._edit(text, keyboard))
        except TelegramBadRequest as error:
            if "message is not modified" in str(error):
                return
            log.warning("message %s cannot be edited: %s", self._message, error)
            await insist(lambda: self._bot.send_message(self._chat, text[:LONGEST], reply_markup=keyboard))

    def stop(self) -> None:
        """Show nothing more."""
        self._editing.cancel()

    async def _keep_editing(self) -> None:
        while True:
            await self._said.wait()
            self._said.clear()
            pause = self._pause
            async with self._on_its_way:
                try:
                    await self._edit(self._newest)
                except TelegramRetryAfter as error:
                    log.warning("Telegram wants a pause of %s s", error.retry_after)
                    pause = max(pause, error.retry_after)
                    self._said.set()
                except Exception as error:  # whatever it is, the order goes on
                    log.warning("message %s was not edited: %s", self._message, error)
            await asyncio.sleep(pause)

    async def _edit(self, text: str, keyboard: InlineKeyboardMarkup | None = None) -> None:
        await self._bot.edit_message_text(
            text[:LONGEST], chat_id=self._chat, message_id=self._message, reply_markup=keyboard
        )


async def send_results(bot: Bot, chat: int, urls: Sequence[str], media: str) -> None:
    """Send results by their address: as what they are, else as a document, else as a link.

    Telegram fetches the file itself, photos up to 5 MB and others up to 20 MB.

    Args:
        bot: Who sends.
        chat: Where to.
        urls: Where the results lie.
        media: ``image``, ``video`` or ``audio``.

    Raises:
        TelegramAPIError: Not even a link could be sent.
    """
    for url in urls:
        await _send(bot, chat, url, media)


async def _send(bot: Bot, chat: int, url: str, media: str) -> None:
    sending: dict[str, Callable[[int, str], Awaitable[object]]] = {
        "image": bot.send_photo,
        "video": bot.send_video,
        "audio": bot.send_audio,
    }
    for send in dict.fromkeys((sending.get(media, bot.send_document), bot.send_document)):
        try:
            await insist(partial(send, chat, url))
            return
        except (TelegramBadRequest, TelegramEntityTooLarge) as error:
            log.warning("Telegram does not send %s this way: %s", url, error)
    await insist(lambda: bot.send_message(chat, url))
