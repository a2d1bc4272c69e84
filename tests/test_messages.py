"""What a bot shows to people: both languages say the same, and what became of the money."""

from __future__ import annotations

import re
import string

import pytest

import kie_core
import kie_core.webhook
from kie_core import (
    BadHandle,
    ClientClosed,
    ConfigError,
    Fault,
    InvalidJob,
    JobFailed,
    JobKeyTaken,
    KieError,
    LedgerError,
    Maintenance,
    ModelGone,
    NoCatalogue,
    NoKey,
    NoPlugin,
    NotSent,
    OutOfCredits,
    OverBudget,
    PluginBroken,
    PluginFailed,
    RateLimited,
    ReadFailed,
    ReadRefused,
    RecordMissing,
    Refused,
    RegistryError,
    SaveFailed,
    SubmitUnknown,
    Unauthorized,
    UnknownJob,
    UnknownModel,
    UnknownWire,
    UploadFailed,
    WaitTimeout,
    WrongState,
)
from kie_core._messages import ERRORS, error_code, error_text
from kie_core._texts import LANGUAGES, TEXTS, text

HANDLE = "kie1:j1:veo3:dedicated:t1"
#: What a text says of the money, in English and in Russian.
NOT_BOUGHT = ("nothing was (bought|sent)", "ничего не (куплено|отправлено)")
BOUGHT = ("(is paid|was bought)", "(оплачен|куплено, но)")
NOBODY_KNOWS = ("Nobody knows .* before you order it again", "Неизвестно.* Не заказывайте снова")
NO_MATTER = ("", "")

#: An error of every kind, the word by which a bot decides, and what its text says of the money.
EVERY_KIND = [
    (UnknownModel("veo4", ("veo3",)), "UNKNOWN_MODEL", NOT_BOUGHT),
    (UnknownModel("zzz"), "UNKNOWN_MODEL", NOT_BOUGHT),
    (InvalidJob("veo3", (Fault("prompt", "missing"), Fault("size", "'1x1'"))), "INVALID_INPUT", NOT_BOUGHT),
    (ModelGone("sora", "it was shut down"), "UNKNOWN_MODEL", NOT_BOUGHT),
    (UnknownWire("jobs", "acme", ("dedicated",)), "UNKNOWN_MODEL", NOT_BOUGHT),
    (NoPlugin("veo3", ()), "UNKNOWN_MODEL", NOT_BOUGHT),
    (PluginBroken("veo3", "kie-veo3", "1", "it is from yesterday"), "UNKNOWN_MODEL", NOT_BOUGHT),
    (PluginFailed("veo3", "build_payload", "KeyError: 'x'"), "PROVIDER_ERROR", NOT_BOUGHT),
    (PluginFailed("veo3", "parse_result", "KeyError: 'x'", HANDLE), "PROVIDER_ERROR", BOUGHT),
    (ConfigError(("wire is 'x'",)), "INVALID_INPUT", NOT_BOUGHT),
    (RegistryError("models.json", "is not JSON"), "INVALID_INPUT", NOT_BOUGHT),
    (NoKey(), "UNAUTHORIZED", NOT_BOUGHT),
    (LedgerError("l.sqlite", "it is locked", "try again"), "LEDGER", NOT_BOUGHT),
    (LedgerError("l.sqlite", "it is locked", "try again", handle=HANDLE), "LEDGER", BOUGHT),
    (OverBudget("veo3", "", 31460, 10000), "BUDGET_EXCEEDED", NOT_BOUGHT),
    (OverBudget("veo3", "user:7", 31460, 40000, 10000, 5000), "BUDGET_EXCEEDED", NOT_BOUGHT),
    (OverBudget("veo3", "user:7", None, 40000), "BUDGET_EXCEEDED", NOT_BOUGHT),
    (JobKeyTaken("order-1", "j1", "veo3"), "INVALID_INPUT", NOT_BOUGHT),
    (UnknownJob("j1", "l.sqlite"), "PROVIDER_ERROR", NO_MATTER),
    (WrongState("j1", "queued", "nothing was sent yet"), "PROVIDER_ERROR", NO_MATTER),
    (BadHandle("x", "it has no parts"), "PROVIDER_ERROR", NO_MATTER),
    (NotSent("nobody listens"), "NETWORK", NOT_BOUGHT),
    (UploadFailed("photo.jpg", "nobody listens"), "NETWORK", NOT_BOUGHT),
    (UploadFailed("photo.jpg", "Invalid API Key", "", 401), "UNAUTHORIZED", NOT_BOUGHT),
    (UploadFailed("photo.jpg", "Bad Request", "", 400), "PROVIDER_ERROR", NOT_BOUGHT),
    (Refused(422, "prompt is required"), "PROVIDER_ERROR", NOT_BOUGHT),
    (Unauthorized(401, "You do not have access"), "UNAUTHORIZED", NOT_BOUGHT),
    (OutOfCredits(402, "Credits insufficient"), "NO_CREDITS", NOT_BOUGHT),
    (RateLimited(429, "too fast"), "RATE_LIMITED", NOT_BOUGHT),
    (Maintenance(455, "come back later"), "PROVIDER_ERROR", NOT_BOUGHT),
    (SubmitUnknown(HANDLE, "the connection was reset"), "SUBMIT_UNKNOWN", NOBODY_KNOWS),
    (ReadFailed("HTTP 502"), "NETWORK", NO_MATTER),
    (RecordMissing("no record"), "NETWORK", NO_MATTER),
    (ReadRefused(HANDLE, 401, "Unauthorized"), "UNAUTHORIZED", BOUGHT),
    (ReadRefused(HANDLE, 402, "Credits insufficient"), "NO_CREDITS", BOUGHT),
    (WaitTimeout(HANDLE, 300, "running"), "TIMEOUT", BOUGHT),
    (ClientClosed(HANDLE), "TIMEOUT", BOUGHT),
    (JobFailed(HANDLE, "failed", "400", "content policy"), "400", BOUGHT),
    (JobFailed(HANDLE, "failed", None, ""), "PROVIDER_ERROR", BOUGHT),
    (JobFailed(HANDLE, "expired", None, "no record"), "PROVIDER_ERROR", BOUGHT),
    (JobFailed(HANDLE, "needs_input", None, "choose a voice"), "TIMEOUT", BOUGHT),
    (JobFailed(HANDLE, "cancelled", None, "called off by hand"), "PROVIDER_ERROR", NOT_BOUGHT),
    (JobFailed(HANDLE, "not_submitted", None, "by hand"), "PROVIDER_ERROR", NOT_BOUGHT),
    (SaveFailed(HANDLE, "https://example.com/a.png", "the disk is full"), "PROVIDER_ERROR", BOUGHT),
    (kie_core.webhook.WebhookRefused(400, "it is no JSON"), "PROVIDER_ERROR", NO_MATTER),
    (NoCatalogue("https://api.kie.ai", "catalogue.json"), "PROVIDER_ERROR", NO_MATTER),
]  # fmt: skip
ids = pytest.mark.parametrize(
    ("error", "code", "money"),
    EVERY_KIND,
    ids=[f"{type(error).__name__}-{at}" for at, (error, *_) in enumerate(EVERY_KIND)],
)
in_both = pytest.mark.parametrize("language", LANGUAGES)


def kinds(root=KieError):
    ours = [one for one in root.__subclasses__() if one.__module__ in ("kie_core._errors", "kie_core.webhook")]
    return {*ours}.union(*map(kinds, ours))


def test_the_table_of_this_test_has_every_error():
    """Of the two modules that have any which leave this package: a new one needs a text."""
    assert {type(error) for error, *_ in EVERY_KIND} == kinds()


@ids
@in_both
def test_every_error_has_a_text_that_says_what_became_of_the_money(error, code, money, language):
    """In both languages; the Russian one is Russian."""
    said = error_text(error, language)

    assert re.search(money[LANGUAGES.index(language)], said, re.IGNORECASE)
    assert bool(re.search("[а-яё]{3}", said)) == (language == "ru")
    assert not re.search(r"[{}]|None|\.\.", said)


@ids
def test_every_error_has_the_word_that_is_documented(error, code, money):
    """By which a bot decides; where a task failed, Kie's own code."""
    assert error_code(error) == code


@ids
@in_both
def test_no_text_hides_the_task(error, code, money, language):
    """Who waits for something that goes on is told its handle."""
    if money is not BOUGHT or (isinstance(error, JobFailed) and error.state != "needs_input"):
        return

    assert HANDLE in error_text(error, language)


@in_both
def test_a_ledger_that_breaks_after_the_purchase_does_not_say_that_nothing_was_sent(language):
    """The task goes on, and its handle is named."""
    said = error_text(LedgerError("l.sqlite", "it is locked", "try again"), language, handle=HANDLE)

    assert not re.search(NOT_BOUGHT[LANGUAGES.index(language)], said, re.IGNORECASE)
    assert re.search(BOUGHT[LANGUAGES.index(language)], said)
    assert HANDLE in said


def placeholders(template):
    return sorted((name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template) if name)


@pytest.mark.parametrize("key", TEXTS)
def test_both_languages_have_the_same_places_for_facts(key):
    """Nothing is told in one of them only."""
    english, russian = TEXTS[key]

    assert placeholders(english) == placeholders(russian)
    assert english
    assert russian


@pytest.mark.parametrize("key", TEXTS)
def test_no_english_text_stands_for_russian(key):
    """Except one that is made of facts alone."""
    english, russian = TEXTS[key]
    words = re.sub(r"\{[^}]*\}", "", english)

    assert not re.search("[а-яА-ЯёЁ]", english)
    assert bool(re.search("[а-яА-ЯёЁ₽]", russian)) or not re.search(r"[a-z]{2}", words)


def test_every_text_of_an_error_exists():
    """The table names no key that is missing."""
    assert {key for _, _, key in ERRORS} <= TEXTS.keys()


ODD = "{0} {model} %s %d 100% {{x}} \\ {"


@in_both
@pytest.mark.parametrize(
    "error",
    [
        InvalidJob(ODD, (Fault("prompt", ODD),)),
        UnknownModel(ODD, (ODD,)),
        Refused(422, ODD),
        NotSent(ODD),
        SubmitUnknown(HANDLE, ODD),
        JobFailed(HANDLE, "failed", ODD, ODD),
        PluginFailed("veo3", "build_payload", ODD),
        LedgerError(ODD, ODD, ODD),
        ConfigError((ODD,)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_braces_and_percent_signs_come_through_as_they_are(error, language):
    """Whoever wrote them: Kie, a person, or a plugin."""
    said = error_text(error, language)

    assert ODD in said or repr(ODD) in said


def test_a_title_with_braces_comes_through():
    """A model of an outsider's may be called anything."""
    assert text("checked", "en", title=ODD, price="1 RUB") == f"{ODD}: 1 RUB"


def test_an_error_of_an_outsider_has_a_text_too():
    """Whatever attributes it has, or none."""

    class Odd(KieError):
        pass

    assert error_code(Odd("{x}")) == "PROVIDER_ERROR"
    assert error_text(Odd("{x}"), "ru") == "Не получилось: {x}"


def test_amounts_are_roubles():
    """The ledger counts kopecks."""
    said = error_text(OverBudget("veo3", "user:7", 31460, 40005, 10000, 5), "en")

    assert "314.60 RUB" in said
    assert "400.05 RUB: 100.00 spent, 0.05 reserved" in said


def test_suggestions_are_told():
    """In the language of the rest."""
    assert error_text(UnknownModel("veo4", ("veo3", "veo3_fast")), "ru").endswith("Возможно, нужна veo3 / veo3_fast?")
