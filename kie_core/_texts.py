"""Everything that is said in English and Russian: one table. The wording of bots, and of what is wrong with inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, TypeAlias, get_args

Language: TypeAlias = Literal["en", "ru"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

#: Key -> English, Russian. What stands in braces are the attributes of the error.
TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    # how things go on
    "checked": ("{title}: {price}", "{title}: {price}"),
    "accepted": ("Kie took the job: task {task}", "Kie принял задание: {task}"),
    "queued": ("Waiting in Kie's queue", "В очереди Kie"),
    "running": ("In the making", "Идёт создание"),
    "running_share": ("In the making: {share:.0%}", "Идёт создание: {share:.0%}"),
    "partial": ("A part is done, the rest follows", "Часть готова, остальное на подходе"),
    "needs_input": ("Kie waits for a person", "Kie ждёт ответа человека"),
    "succeeded": ("Done: {count} result(s)", "Готово, результатов: {count}"),
    "price": ("{rub} RUB", "{rub} ₽"),
    "price_unknown": ("price unknown", "цена неизвестна"),
    # what went wrong, and whether it was bought
    "invalid_input": (
        "{model} cannot take these inputs, nothing was bought: {faults}",
        "{model} не принимает такие параметры, ничего не куплено: {faults}",
    ),
    "unknown_model": (
        "There is no model {model!r}, nothing was bought.{near}",
        "Модели {model!r} нет, ничего не куплено.{near}",
    ),
    "near": (" Did you mean {models}?", " Возможно, нужна {models}?"),
    "model_gone": (
        "Kie does not offer {model} any more, nothing was bought: {note}",
        "Kie больше не предлагает {model}, ничего не куплено: {note}",
    ),
    "unknown_wire": (
        "{model} cannot be bought over {wire}, nothing was sent.",
        "{model} нельзя купить через {wire}, ничего не отправлено.",
    ),
    "no_plugin": (
        "Nothing was bought: {category} needs a plugin that is not installed: pip install kie-{category}",
        "Ничего не куплено: для {category} не установлен плагин: pip install kie-{category}",
    ),
    "plugin_broken": (
        "Nothing was bought: the plugin for {category} is broken: {reason}",
        "Ничего не куплено: плагин для {category} не работает: {reason}",
    ),
    "timeout": (
        "Not ready after {waited:g} s. It goes on and is paid: fetch it later, do not order it again. {handle}",
        "Не готово за {waited:g} с. Оно продолжается и оплачено: заберите его позже, не заказывайте снова. {handle}",
    ),
    "closed": (
        "Nobody waits for it any more here. It goes on and is paid: fetch it later, do not order it again. {handle}",
        "Здесь его больше не ждут. Оно продолжается и оплачено: заберите его позже, не заказывайте снова. {handle}",
    ),
    "over_single": (
        "{model} costs {price} RUB, one job may cost {limit} RUB. Nothing was sent.",
        "{model} стоит {price} ₽, одно задание может стоить {limit} ₽. Ничего не отправлено.",
    ),
    "over_total": (
        "{model} costs {price} RUB. Limit {limit} RUB: {spent} spent, {reserved} reserved. Nothing was sent.",
        "{model} стоит {price} ₽. Лимит {limit} ₽: потрачено {spent}, отложено {reserved}. Ничего не отправлено.",
    ),
    "over_unknown": (
        "The price of {model} is unknown, and there is a limit of {limit} RUB. Nothing was sent.",
        "Цена {model} неизвестна, а лимит — {limit} ₽. Ничего не отправлено.",
    ),
    "no_credits": (
        "The account at Kie has no credits left, nothing was bought: {message}",
        "На счёте Kie не хватает кредитов, ничего не куплено: {message}",
    ),
    "no_key": (
        "There is no key, nothing was sent: set KIE_API_KEY.",
        "Нет ключа, ничего не отправлено: задайте KIE_API_KEY.",
    ),
    "unauthorized": (
        "Kie does not accept the key, nothing was bought: {message}",
        "Kie не принимает ключ, ничего не куплено: {message}",
    ),
    "read_refused": (
        "Kie does not show this key the task: {message}. It goes on and is paid, do not order it again. {handle}",
        "Kie не показывает задание этому ключу: {message}. Оно продолжается и оплачено, не заказывайте снова. {handle}",
    ),
    "rate_limited": (
        "Too many requests to Kie, nothing was bought. Try again later.",
        "Слишком много запросов к Kie, ничего не куплено. Попробуйте позже.",
    ),
    "refused": (
        "Kie refused, nothing was bought: {message} (code {code})",
        "Kie отказал, ничего не куплено: {message} (код {code})",
    ),
    "not_sent": ("It was not sent, nothing was bought: {reason}", "Не отправлено, ничего не куплено: {reason}"),
    "read_failed": (
        "Kie did not answer a question, which changes nothing of what was bought: {reason}",
        "Kie не ответил на вопрос, на купленном это не сказывается: {reason}",
    ),
    "submit_unknown": (
        "Nobody knows whether Kie took it: {reason}. Look at https://kie.ai/logs before you order it again. {handle}",
        "Неизвестно, принял ли Kie задание: {reason}. Не заказывайте снова, не проверив https://kie.ai/logs. {handle}",
    ),
    "failed": (
        "It was bought, but Kie could not make it: {message}",
        "Задание куплено, но Kie не смог его выполнить: {message}",
    ),
    "expired": (
        "It was bought, but Kie does not know the task any more: {message}",
        "Задание куплено, но Kie о нём больше не знает: {message}",
    ),
    "waits": (
        "It goes on and is paid, but Kie waits for a person: {message}. {handle}",
        "Задание продолжается и оплачено, но Kie ждёт ответа человека: {message}. {handle}",
    ),
    "called_off": (
        "It was called off, nothing was bought: {message}",
        "Задание отменено, ничего не куплено: {message}",
    ),
    "no_result": (
        "It is paid and Kie says that it is done, but names no result: look at https://kie.ai/logs. {handle}",
        "Задание оплачено и готово, но Kie не называет результата: смотрите https://kie.ai/logs. {handle}",
    ),
    "save_failed": (
        "It is paid and at Kie, but could not be saved: {reason}. {handle}",
        "Результат оплачен и лежит у Kie, но не сохранён: {reason}. {handle}",
    ),
    "plugin_failed": (
        "The plugin for {category} failed in {hook}: {reason}.{paid}",
        "Плагин для {category} дал сбой в {hook}: {reason}.{paid}",
    ),
    "paid": (
        " The task goes on and is paid, do not order it again. {handle}",
        " Задание продолжается и оплачено, не заказывайте снова. {handle}",
    ),
    "unpaid": (" Nothing was bought.", " Ничего не куплено."),
    "upload_failed": (
        "{file} could not be uploaded, nothing was bought: {reason}",
        "Не удалось загрузить {file}, ничего не куплено: {reason}",
    ),
    "ledger": (
        "The record of purchases cannot be used, nothing was sent: {problem}; {remedy}",
        "Журнал покупок недоступен, ничего не отправлено: {problem}; {remedy}",
    ),
    "ledger_later": (
        "The record of purchases cannot be used: {problem}; {remedy}.{paid}",
        "Журнал покупок недоступен: {problem}; {remedy}.{paid}",
    ),
    "setup": ("Wrongly set up, nothing was bought: {error}", "Неверная настройка, ничего не куплено: {error}"),
    "other": ("It did not work: {error}", "Не получилось: {error}"),
    "no_reason": ("no reason given", "причина не указана"),
    # what is wrong with an input
    "input.inputs": ("{value}: expected names with values", "{value}: нужны имена со значениями"),
    "input.missing": ("missing; expected {expected}", "не указан; нужно: {expected}"),
    "input.fixed": (
        "fixed by the model id to {value}; leave it out",
        "задан самой моделью: {value}; не указывайте его",
    ),
    "input.unknown": ("unknown input; {hint}", "нет такого параметра; {hint}"),
    "input.near": ("did you mean {near!r}?", "возможно, {near!r}?"),
    "input.takes": ("it takes {names}", "есть {names}"),
    "input.no_inputs": ("no inputs", "никаких"),
    "input.wrong": ("{value}: {problem}; expected {expected}", "{value}: {problem}; нужно: {expected}"),
    "input.not_allowed": ("{value} is not allowed; expected {expected}", "{value} не подходит; нужно: {expected}"),
    "input.items": ("has {count} items; expected {span}", "элементов {count}; нужно {span}"),
    "input.no_member": ("unknown; expected some of {names}", "нет такого поля; есть {names}"),
    "input.boolean": ("is true or false, not {type}", "это true или false, а не {type}"),
    "input.not_finite": ("is not a finite number", "не конечное число"),
    "input.too_large": ("is too large", "слишком велико"),
    "input.type": ("is {type}", "это {type}"),
    "input.range": ("{value} is out of range; expected {expected}", "{value} вне пределов; нужно: {expected}"),
    "input.multiple": ("{value} is not a multiple of {of}", "{value} не кратно {of}"),
    "input.surrogate": (
        "has half of a surrogate pair, which is not valid text",
        "содержит половину суррогатной пары, это не текст",
    ),
    "input.length": ("has {count} characters; expected {span}", "символов {count}; нужно {span}"),
    "input.blank": ("is blank; expected {expected}", "пуст; нужно: {expected}"),
    "input.pattern": ("{value} does not match {pattern}", "{value} не соответствует {pattern}"),
    "input.url": (
        "{value} is not a URL; expected one that begins with {begins}",
        "{value} не ссылка; нужна та, что начинается с {begins}",
    ),
    "input.file_hint": (
        "; a file is given as Path(...) in Python, as @... on the command line",
        "; файл указывают как Path(...) в Python и как @... в командной строке",
    ),
    "input.deep": ("is nested more than 32 deep", "вложен глубже 32 уровней"),
    "input.odd_key": ("has a key that is not text", "содержит ключ, который не текст"),
    "input.not_finite_inside": ("has a number that is not finite", "содержит не конечное число"),
    "input.too_large_inside": ("has a number that is too large", "содержит слишком большое число"),
    "input.odd_inside": ("has a {type} inside", "содержит {type}"),
    "input.needed": ("missing; it is needed{because}", "не указан, а он нужен{because}"),
    "input.forbidden": ("{value}: leave it out{because}", "{value}: не указывайте его{because}"),
    "input.one_needed": (
        "missing; give at least one of {names}{because}",
        "не указан; нужен хотя бы один из {names}{because}",
    ),
    "input.together": (
        "{names} make {sum} together; expected ..{most}{because}",
        "{names}: вместе {sum}; нужно ..{most}{because}",
    ),
    "input.when": (" when {conditions}", ", если {conditions}"),
    "input.and": (" and ", " и "),
    "input.or": (" or ", " или "),
    "input.given": ("{name} is given", "{name} указан"),
    "input.not_given": ("{name} is not given", "{name} не указан"),
    "input.is_not": ("{name} is not {value}", "{name} не {value}"),
    "input.is": ("{name} is {value}", "{name} равно {value}"),
    # what an input takes
    "input.one_of": ("one of {values}", "одно из {values}"),
    "input.some_of": ("{count} values such as {values}", "одно из {count} значений, например {values}"),
    "input.such_as": (" such as {values}", ", например {values}"),
    "input.string": ("text", "текст"),
    "input.integer": ("integer", "целое число"),
    "input.number": ("number", "число"),
    "input.boolean_type": ("true or false", "true или false"),
    "input.array": ("list", "список"),
    "input.object": ("object", "объект"),
    "input.uri": ("URL", "ссылка"),
    "input.earlier_task": ("handle, job or task", "описание, задание или задача"),
    "input.list_of_urls": ("list of URLs", "список ссылок"),
    "input.list_of": ("list of {type}s", "список ({type})"),
    "input.of_characters": (" of {span} characters", " из {span} символов"),
    "input.of_items": (" of {span} items", " из {span} элементов"),
}  # fmt: skip

_spoken: ContextVar[Language] = ContextVar("kie_core_language", default="en")


def text(key: str, language: Language, **facts: Any) -> str:
    """Return the text *key* in *language*."""
    return TEXTS[key][LANGUAGES.index(language)].format(**facts)


@contextmanager
def spoken(language: Language) -> Iterator[None]:
    """Let `said` speak *language* within this block."""
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def said(key: str, **facts: Any) -> str:
    """Return the text ``input.<key>`` in the language of this block; English outside of one."""
    return text(f"input.{key}", _spoken.get(), **facts)
