"""The bot, as people meet it: real code and real sockets, a fake Telegram and a fake Kie on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
import string

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

pytestmark = pytest.mark.anyio

WORDS = {
    "en": {
        "offer": "GPT-4o Image: 39.33 RUB.\n\na cute cat\n\nBuy it?",
        "checked": "GPT-4o Image: 39.33 RUB",
        "accepted": "Kie took the job: task ",
        "running": "In the making",
        "done": "Done: 1 result(s)",
        "buy": "Buy for 39.33 RUB",
        "ask": "GPT-4o Image. Describe what you want.",
        "start": "I make pictures",
        "choose": "What shall it be?",
        "answers": ["", "Ordered"],
    },
    "ru": {
        "offer": "GPT-4o Image: 39.33 ₽.\n\na cute cat\n\nКупить?",
        "checked": "GPT-4o Image: 39.33 ₽",
        "accepted": "Kie принял задание: ",
        "running": "Идёт создание",
        "done": "Готово, результатов: 1",
        "buy": "Купить за 39.33 ₽",
        "ask": "GPT-4o Image. Опишите, что сделать.",
        "start": "Я делаю картинки",
        "choose": "Что делаем?",
        "answers": ["", "Заказано"],
    },
}


async def bought_as_task(person, world, *, times=1, accepted="Kie took the job"):
    """Press the button and wait until Kie has the job."""
    tap = person.taps("Buy")
    await person.hears(accepted, times)
    assert len(world.creates) == times
    return tap


# --- buying ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_picture_is_bought(scene, language):
    """What a person sees, in order, from /start to the picture."""
    await scene.start()
    person, words = scene.person(language=language), WORDS[language]

    person.says("/start")
    await person.hears(words["start"])
    await person.gets_an_offer(button=words["buy"])
    assert not scene.kie.create_times
    person.taps(words["buy"])
    await person.hears(words["running"])
    scene.kie.finish()
    await person.hears("photo: ")

    shown = [
        words["start"], words["choose"], words["ask"], words["offer"], words["checked"], words["accepted"],
        words["running"], words["done"], "photo: http://127.0.0.1",
    ]  # fmt: skip
    assert len(person.heard) == len(shown)
    assert all(said.startswith(beginning) for said, beginning in zip(person.heard, shown, strict=True))
    assert person.told == words["answers"]
    assert len(scene.kie.creates) == 1


async def test_the_six_models_are_offered_with_their_prices(scene):
    """/models shows what there is, the cheapest first."""
    await scene.start()
    person = scene.person(language="ru")

    person.says("/models")
    await person.hears("Что делаем?")

    (message,) = scene.telegram.messages.values()
    assert [button["text"] for (button,) in message["reply_markup"]["inline_keyboard"]] == [
        "GPT-4o Image: 39.33 ₽",
        "Flux Kontext: 47.19 ₽",
        "Suno V4: 78.65 ₽",
        "Google Veo 3.1 Fast: 157.30 ₽",
        "Runway Gen-3 Alpha Turbo: 235.95 ₽",
        "Google Veo 3.1 Standard: 314.60 ₽",
    ]


async def test_a_song_is_sent_as_audio(scene):
    """Every track of a song comes as audio."""
    await scene.start()
    person = scene.person()

    await person.gets_an_offer("Suno V4", "a sea shanty")
    await bought_as_task(person, scene.kie)
    scene.kie.finish()

    await person.hears("audio: ", times=2)


async def test_a_video_is_made_of_a_picture(scene):
    """A model that needs a picture asks for its public link; a photo itself will not do, and goes nowhere."""
    await scene.start()
    person = scene.person()

    person.says("/models")
    await person.sees_button("Runway")
    person.taps("Runway")
    person.says(photo=[{"file_id": "1", "file_unique_id": "1", "width": 9, "height": 9}])
    await person.hears("I need a link")
    person.says("here: https://example.com/cat.png")
    await person.hears("Runway Gen-3 Alpha Turbo. Describe")
    person.says("it jumps")
    await person.sees_button("Buy for 235.95 RUB")
    await bought_as_task(person, scene.kie)
    scene.kie.finish()
    await person.hears("video: ")

    (create,) = scene.kie.creates
    assert (create.body["imageUrl"], create.body["prompt"]) == ("https://example.com/cat.png", "it jumps")
    assert "getFile" not in [method for method, _ in scene.telegram.calls]


async def test_an_offer_can_be_called_off(scene):
    """After "No" the offer is gone, and so is its button."""
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()
    message, data = next(person._buttons("Buy"))

    person.taps("No")
    await person.hears("Called off")
    person.taps_data(data, message)
    await scene.until(lambda: "This was ordered or called off already" in person.told)

    assert not scene.kie.create_times


async def test_what_a_model_cannot_take_is_said_before_there_is_a_price(scene):
    """Inputs are checked before anything is offered, and can be corrected."""
    await scene.start()
    person = scene.person()

    person.says("/models")
    await person.sees_button("Suno V4")
    person.taps("Suno V4")
    await person.hears("Suno V4. ")
    person.says("la " * 100)
    await person.hears("Suno V4 cannot take this:\nprompt")
    person.says("la la")
    await person.sees_button("Buy for 78.65 RUB")


async def test_a_model_that_is_gone_is_told(scene):
    """A button of an old message leads to words, not to an order."""
    await scene.start()
    person = scene.person()

    person.taps_data("model:dall-e")

    await person.hears("There is no model dall-e any more: /models")


# --- once ------------------------------------------------------------------------------------


async def test_a_double_tap_buys_once(scene):
    """Two taps on one button, both on their way before either is answered, are one purchase."""
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()

    first = person.taps("Buy")
    person.taps("Buy")
    scene.telegram.deliver(**first)  # and Telegram repeats itself
    await person.hears("Kie took the job")
    scene.kie.finish()
    await person.hears("photo: ")
    scene.telegram.deliver(**first)
    await scene.until(lambda: person.told.count("This was ordered or called off already") == 3)

    assert len(scene.kie.create_times) == 1
    assert person.told.count("Ordered") == 1


async def test_nobody_buys_what_was_offered_to_somebody_else(scene):
    """A button that a stranger presses buys nothing, and stays good for its owner."""
    await scene.start()
    person, stranger = scene.person(7), scene.person(8)
    await person.gets_an_offer()
    message, data = next(person._buttons("Buy"))

    stranger.taps_data(data, message)
    await scene.until(lambda: "This was ordered or called off already" in person.told)
    assert not scene.kie.create_times

    await bought_as_task(person, scene.kie)


# --- budgets ---------------------------------------------------------------------------------


async def test_what_costs_too_much_is_not_sent(scene):
    """An order above the limit of one order is refused before anything is sent."""
    await scene.start(BOT_MAX_PRICE_RUB="30")
    person = scene.person(language="ru")
    await person.gets_an_offer(button="Купить")

    person.taps("Купить")
    await person.hears("gpt-4o-image стоит 39.33 ₽, одно задание может стоить 30.00 ₽. Ничего не отправлено.")

    assert not scene.kie.create_times


async def test_everybody_has_a_limit_of_their_own(scene):
    """What goes on counts against the limit of its person, and of nobody else."""
    await scene.start(BOT_MAX_TOTAL_RUB="60")
    person, other = scene.person(7), scene.person(8)

    await person.gets_an_offer()
    await bought_as_task(person, scene.kie)
    person.says("/budget")
    await person.hears("Spent: 0.00 RUB. Set aside for what goes on: 39.33 RUB. Your limit: 60.00 RUB.")
    await person.gets_an_offer(prompt="a second cat")
    person.taps("Buy")
    await person.hears("gpt-4o-image costs 39.33 RUB. Limit 60.00 RUB: 0.00 spent, 39.33 reserved. Nothing was sent.")
    assert len(scene.kie.create_times) == 1

    await other.gets_an_offer(prompt="a third cat")
    other.taps("Buy")
    await other.hears("Kie took the job")
    assert len(scene.kie.create_times) == 2

    scene.kie.finish()
    await person.hears("photo: ")
    person.says("/budget")
    assert re.match(r"Spent: [1-9][0-9.]* RUB\. Set aside for what goes on: 0\.00", await person.hears("Spent: ", 2))


# --- what goes wrong -------------------------------------------------------------------------


async def test_a_failure_is_told_in_the_language_of_the_person(scene):
    """What Kie cannot make ends in words, and costs nothing more."""
    await scene.start()
    person = scene.person(language="ru")
    await person.gets_an_offer(prompt="[refuse] a cat", button="Купить")

    person.taps("Купить")
    await person.hears("Kie принял задание")
    scene.kie.finish()

    await person.hears("Задание куплено, но Kie не смог его выполнить: ")


async def test_edits_that_telegram_refuses_stop_no_purchase(scene):
    """Flood limits and vanished messages: the job goes on, the last word and the picture arrive."""
    scene.telegram.failures["editMessageText"] = [
        (429, "Too Many Requests: retry after 1"),
        (400, "Bad Request: message can't be edited"),
    ]
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()

    person.taps("Buy")
    await scene.until(lambda: not scene.telegram.failures["editMessageText"])
    await person.hears("In the making")
    scene.telegram.messages.clear()  # somebody deletes the whole conversation
    scene.telegram.failures["editMessageText"] = [(429, "Too Many Requests: retry after 1")]
    scene.kie.finish()
    await person.hears("photo: ")

    last = [(method, fields["text"]) for method, fields in scene.telegram.calls if "Done" in fields.get("text", "")]
    edit = "editMessageText", "Done: 1 result(s)"
    assert last == [edit, edit, ("sendMessage", "Done: 1 result(s)")]
    assert len(scene.kie.creates) == 1


async def test_what_telegram_does_not_send_as_a_picture_comes_as_a_link(scene):
    """First as what it is, then as a document, then as its address; a pause that Telegram wants is kept."""
    refused = (400, "Bad Request: wrong type of the web page content")
    scene.telegram.failures = {
        "sendPhoto": [(429, "Too Many Requests: retry after 1"), refused],
        "sendDocument": [refused],
    }
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()

    await bought_as_task(person, scene.kie)
    scene.kie.finish()
    await person.hears("http://127.0.0.1")

    kinds = [method for method, fields in scene.telegram.calls if method.startswith("send")][-4:]
    assert kinds == ["sendPhoto", "sendPhoto", "sendDocument", "sendMessage"]


async def test_what_telegram_does_not_take_at_all_comes_after_the_next_start(scene, monkeypatch):
    """A result that could not be delivered is not forgotten, and not bought again."""
    await scene.start()
    monkeypatch.setattr("chat._AGAIN_SECONDS", 0)
    scene.telegram.failures["sendPhoto"] = [(502, "Bad Gateway")] * 5
    person = scene.person()
    await person.gets_an_offer()
    await bought_as_task(person, scene.kie)
    scene.kie.finish()
    await scene.until(lambda: "it is told at the next start" in scene.log)

    await scene.stop()
    await scene.start()

    await person.hears("photo: ", times=6)
    assert len(scene.kie.creates) == 1


async def test_who_has_blocked_the_bot_is_left_in_peace(scene):
    """Nobody can be told: the order is closed, and no start tries again."""
    scene.telegram.failures["sendPhoto"] = [(403, "Forbidden: bot was blocked by the user")]
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()
    await bought_as_task(person, scene.kie)
    scene.kie.finish()
    await scene.until(lambda: "nobody can be told any more" in scene.log)

    with contextlib.closing(sqlite3.connect(scene.orders)) as orders:
        assert orders.execute("SELECT state FROM orders").fetchall() == [("closed",)]


async def test_what_takes_longer_than_patience_lasts_comes_all_the_same(scene, monkeypatch):
    """After the step-by-step news have ended, the person is told that it goes on, and gets the result."""
    await scene.start()
    monkeypatch.setattr("shop.PATIENCE", 3.0)
    person = scene.person()
    await person.gets_an_offer()

    person.taps("Buy")
    await person.hears("It goes on and is paid.")
    scene.kie.finish()
    await person.hears("photo: ")

    assert person.heard[-2] == "Done."
    assert len(scene.kie.creates) == 1


async def test_an_answer_that_got_lost_is_not_bought_again(scene):
    """Where nobody knows whether it was bought, the person is told not to order again; a restart buys nothing."""
    scene.kie.faults.add("create-reset*1")
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()

    person.taps("Buy")
    await person.hears("Nobody knows whether Kie took it")
    await scene.stop()
    await scene.start()

    await person.hears("Nobody knows yet whether Kie took it. Do not order it again")
    assert len(scene.kie.create_times) == 1


# --- ending and starting again ---------------------------------------------------------------


async def test_a_bot_that_was_killed_delivers_after_its_restart(scene):
    """A job that goes on while the bot is dead is told and delivered, and its tap, coming again, buys nothing."""
    person = scene.person()
    async with scene.process() as process:
        await person.gets_an_offer()
        tap = await bought_as_task(person, scene.kie)
        process.kill()
        await process.wait()

    scene.telegram.deliver(**tap)
    async with scene.process():
        await person.hears("It goes on and is paid.")
        await scene.until(lambda: "This was ordered or called off already" in person.told)
        scene.kie.finish()
        await person.hears("photo: ")

    assert "Done." in person.heard
    assert len(scene.kie.create_times) == 1


async def test_a_bot_that_is_killed_while_it_buys_does_not_buy_again(scene):
    """The create was on its way: nobody knows, so nothing is sent again and the person is told."""
    scene.kie.faults.add("create-silent*1")
    person = scene.person()
    async with scene.process() as process:
        await person.gets_an_offer()
        person.taps("Buy")
        await scene.until(lambda: scene.kie.create_times)
        process.kill()
        await process.wait()

    await scene.start()

    await person.hears("Nobody knows yet whether Kie took it.")
    assert len(scene.kie.create_times) == 1


async def test_a_bot_that_is_told_to_end_says_that_orders_go_on(scene):
    """SIGTERM: whoever waits is told, the exit is clean, and the next start delivers."""
    person = scene.person()
    async with scene.process() as process:
        await person.gets_an_offer()
        await bought_as_task(person, scene.kie)
        process.terminate()
        assert await process.wait() == 0
    assert person.heard[-1].startswith("It goes on and is paid. The result comes by itself")

    scene.kie.finish()
    await scene.start()

    await person.hears("photo: ")
    assert len(scene.kie.create_times) == 1


async def test_a_bot_that_is_told_to_end_buys_nothing_more(scene):
    """SIGTERM while Kie does not take orders: nothing was bought, the person is told, and the button counts again."""
    scene.kie.faults.add("create-code=455*1")
    person = scene.person()
    async with scene.process() as process:
        await person.gets_an_offer()
        person.taps("Buy")
        await scene.until(lambda: scene.kie.refusals)
        process.terminate()
        assert await process.wait() == 0

    assert person.heard[-1].startswith("I was restarted before anything was bought.")
    assert next(person._buttons("Buy for 39.33 RUB"))
    assert not scene.kie.creates


async def test_what_ended_while_the_bot_was_away_is_delivered(scene):
    """A failure and a success of the time in between are told at the start."""
    await scene.start()
    glad, sad = scene.person(7), scene.person(8, "ru")
    await glad.gets_an_offer()
    await bought_as_task(glad, scene.kie)
    await sad.gets_an_offer(prompt="[refuse]", button="Купить")
    sad.taps("Купить")
    await sad.hears("Kie принял задание")

    await scene.stop()
    scene.kie.finish()
    await scene.start()

    await glad.hears("photo: ")
    await sad.hears("Kie не смог выполнить задание: ")
    assert len(scene.kie.create_times) == 2


async def test_a_bot_that_died_before_it_had_bought_offers_again(scene):
    """Between the tap and the ledger nothing was bought: a restart says so, and the button counts again."""
    await scene.start()
    person = scene.person()
    await person.gets_an_offer()
    message, _ = next(person._buttons("Buy"))
    await scene.stop()
    with contextlib.closing(sqlite3.connect(scene.orders)) as orders:  # as a kill leaves it at the worst moment
        orders.execute("UPDATE orders SET state = 'bought', message = ?", (message["message_id"],))
        orders.commit()

    await scene.start()
    await person.hears("I was restarted before anything was bought.\n\nGPT-4o Image: 39.33 RUB.")
    assert not scene.kie.create_times

    await bought_as_task(person, scene.kie)
    scene.kie.finish()
    await person.hears("photo: ")
    assert len(scene.kie.create_times) == 1


@pytest.mark.parametrize("missing", ["BOT_TOKEN", "KIE_API_KEY"])
def test_a_bot_without_a_key_says_what_is_missing(bot, monkeypatch, missing):
    """The bot ends at once, with one sentence."""
    for name, value in {"BOT_TOKEN": "42:TEST", "KIE_API_KEY": "any"}.items():
        if name != missing:
            monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=f"set {missing}"):
        asyncio.run(bot.main())


# --- words -----------------------------------------------------------------------------------


def test_both_languages_say_the_same(chat):
    """Every text has the same facts in English and in Russian."""
    facts = [
        [sorted(part[1] or "" for part in string.Formatter().parse(one)) for one in t] for t in chat.TEXTS.values()
    ]

    assert all(english == russian for english, russian in facts)


async def test_many_words_make_few_edits(chat, telegram):
    """Whoever speaks never waits; of what is said during a pause only the newest is shown."""
    bot = Bot("42:TEST", session=AiohttpSession(api=TelegramAPIServer.from_base(telegram.url)))
    offer = await bot.send_message(7, "an offer")
    status = chat.StatusMessage(bot, 7, offer.message_id, pause=0.05)

    for percent in range(100):
        status.say(f"{percent} %")
        await asyncio.sleep(0)
    while telegram.messages[offer.message_id]["text"] != "99 %":
        await telegram.news()
    await status.end("done")
    await bot.session.close()

    edits = [fields["text"] for method, fields in telegram.calls if method == "editMessageText"]
    assert edits[-2:] == ["99 %", "done"]
    assert len(edits) <= 4
