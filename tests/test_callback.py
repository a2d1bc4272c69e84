"""Callback addresses: they name the job, prove that we named it, and give nothing away."""

from __future__ import annotations

import hashlib
import hmac
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core._jobs.callback import callback_address, callback_token, job_and_token, token_fits
from kie_core._secret import Secret

KEY = Secret("api-key-of-the-tests-0123456789")
OTHER = Secret("another-key-of-the-tests-987654")
JOB = "4f1c0d9e7b2a4c6d"
TOKEN = callback_token(KEY, JOB)

job_ids = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)


def test_a_token_is_half_an_hmac_of_the_job_id_for_this_purpose_only():
    """Computed by hand, so that it stays the same for jobs that are on their way while kie-core is updated."""
    digest = hmac.new(
        b"api-key-of-the-tests-0123456789", b"kie-core callback address 1\n4f1c0d9e7b2a4c6d", hashlib.sha256
    )

    assert digest.hexdigest()[:32] == TOKEN


def test_a_token_does_not_hold_the_key():
    """Not in part, and not encoded."""
    assert KEY.reveal()[:4] not in TOKEN
    assert KEY.reveal().encode().hex()[:8] not in TOKEN


@pytest.mark.parametrize(
    ("base", "address"),
    [
        ("https://bot.example", f"https://bot.example/{JOB}/{TOKEN}"),
        ("https://bot.example/", f"https://bot.example/{JOB}/{TOKEN}"),
        ("https://bot.example:8443/kie/cb", f"https://bot.example:8443/kie/cb/{JOB}/{TOKEN}"),
        ("https://bot.example/kie/cb/", f"https://bot.example/kie/cb/{JOB}/{TOKEN}"),
        ("https://bot.example/kie?tenant=7&x=a%2Fb", f"https://bot.example/kie/{JOB}/{TOKEN}?tenant=7&x=a%2Fb"),
        ("https://bot.example/kie#top", f"https://bot.example/kie/{JOB}/{TOKEN}"),
    ],
)
def test_an_address_is_the_base_with_job_and_token_behind_its_path(base, address):
    """The path stays in front, the query at the end; a fragment is never sent by anybody."""
    assert callback_address(base, JOB, KEY) == address


@pytest.mark.parametrize("job_id", ["", "a/b", "..", "a b", "a?b", "ä", "a" * 65, f"{JOB}\n"])
def test_an_id_that_cannot_stand_in_an_address_is_refused(job_id):
    """It would lead elsewhere, or not come back as it was."""
    with pytest.raises(ValueError, match="is no job id"):
        callback_address("https://bot.example", job_id, KEY)


@given(job_id=job_ids)
def test_job_and_token_are_read_back_from_every_address(job_id):
    """Whatever the base, and with its query."""
    address = callback_address("https://bot.example/kie?x=1", job_id, KEY)
    path = address.removeprefix("https://bot.example")

    assert job_and_token(path) == (job_id, callback_token(KEY, job_id))
    assert job_and_token(path.partition("?")[0] + "/") == (job_id, callback_token(KEY, job_id))


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", "kie", "/kie", "/hooks/kie", f"/{TOKEN}", f"//{TOKEN}", f"/{JOB}/{TOKEN[:-1]}", f"/{JOB}/{TOKEN}0",
     f"/{JOB}/{TOKEN}//", f"/a b/{TOKEN}", f"/{JOB}/{TOKEN}\n", f"/{JOB}/{TOKEN}/more", f"/kie?to=/{JOB}/{TOKEN}"],
)  # fmt: skip
def test_a_path_without_job_and_token_has_none(path):
    """A receiver may be mounted at any path of two words."""
    assert job_and_token(path) is None


def test_a_token_fits_its_job_under_any_of_the_keys():
    """While the key is changed, jobs of the former one are still reported."""
    assert token_fits(TOKEN, JOB, [KEY])
    assert token_fits(TOKEN, JOB, [OTHER, KEY])
    assert token_fits(TOKEN, JOB, [KEY, OTHER])


@pytest.mark.parametrize(
    ("token", "job_id", "keys"),
    [
        (TOKEN, "4f1c0d9e7b2a4c6e", [KEY]),
        (TOKEN, JOB, [OTHER]),
        (TOKEN, JOB, []),
        (TOKEN.upper(), JOB, [KEY]),
        (TOKEN[:-1], JOB, [KEY]),
        (f"{TOKEN}0", JOB, [KEY]),
        ("", JOB, [KEY]),
        (callback_token(KEY, "a/b"), "a/b", [KEY]),
    ],
    ids=["other job", "other key", "no key", "capitals", "short", "long", "empty", "odd job id"],
)
def test_no_other_token_fits(token, job_id, keys):
    """Not nearly, and not for another job."""
    assert not token_fits(token, job_id, keys)


@given(token=st.text(st.characters()), job_id=st.one_of(st.just(JOB), st.text(st.characters())))
def test_odd_texts_do_not_fit_and_raise_nothing(token, job_id):
    """Letters that are not ASCII, and halves of letters, come from outside too."""
    assert not token_fits(token, job_id, [KEY, OTHER])


@given(path=st.text(st.characters()))
def test_any_text_can_be_looked_at_as_a_path(path):
    """It comes from outside."""
    assert job_and_token(path) is None
