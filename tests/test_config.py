"""Settings: flag, environment, project, user, default; where each came from; and what a project may not say."""

from __future__ import annotations

import pickle
import sys
from decimal import Decimal
from pathlib import Path

import attrs
import platformdirs
import pytest

from kie_core import ConfigError, Settings, load_settings
from kie_core._config import cache_folder, default_ledger, load_with_origins, user_file
from kie_core._running.plan import account_of
from kie_core._secret import Secret, checked_key, redacted

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def house(tmp_path):
    """A project folder, a user's folder, and an environment."""
    project, user = tmp_path / "project", tmp_path / "user"
    project.mkdir()
    user.mkdir()
    return project, user / "config.toml", {"KIE_CONFIG_DIR": str(user)}


def test_the_first_source_that_speaks_wins(house):
    """Five layers, one setting each time."""
    project, user, environ = house
    (project / "kie.toml").write_text('wire = "jobs"\nwait_timeout = 60')
    user.write_text('wire = "v4"\nwait_timeout = 50\nrequest_timeout = 7')
    environ |= {"KIE_WIRE": "dedicated"}

    loaded = load_with_origins({"wire": None, "markup": 3}, environ=environ, folder=project)

    assert loaded.settings.wire == "dedicated"
    assert loaded.settings.wait_timeout == 60.0
    assert loaded.settings.request_timeout == 7.0
    assert {name: loaded.origins[name].kind for name in ("markup", "wire", "wait_timeout", "request_timeout", "create_timeout")} == {
        "markup": "flag", "wire": "environment", "wait_timeout": "project", "request_timeout": "user", "create_timeout": "default",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "base_url",
        "upload_url",
        "callback_url",
        "registry",
        "plugins",
        "disable_plugins",
        "out",
        "create_timeout",
        "markup",
        "rub_per_usd",
    ],
)
def test_a_project_may_not_redirect_key_money_or_code(house, name):
    """Whoever clones a folder and types kie in it keeps control."""
    project, _, environ = house
    (project / "kie.toml").write_text(f'{name} = "https://evil.example"')

    with pytest.raises(ConfigError, match=f"a project may not set '{name}'"):
        load_settings(environ=environ, folder=project)


def test_all_faults_of_all_sources_come_at_once(house):
    """Four mistakes in three places, one error."""
    project, user, environ = house
    (project / "kie.toml").write_text("wait_timeout = -1")
    user.write_text('markup = "x"\nwier = "jobs"')
    environ |= {"KIE_BASE_URL": "api.kie.ai"}

    with pytest.raises(ConfigError) as caught:
        load_settings(environ=environ, folder=project)

    text = str(caught.value)
    assert len(caught.value.faults) == 4
    assert "wait_timeout = -1" in text
    assert "markup = 'x'" in text
    assert "did you mean 'wire'?" in text
    assert "base_url = 'api.kie.ai' (from KIE_BASE_URL): expected a URL" in text


@pytest.mark.parametrize("toml", ["wire =", "wire = \xff", "[a\n"])
def test_a_file_that_is_no_toml_is_named(house, toml):
    """With the reason of the parser."""
    project, user, environ = house
    user.write_bytes(toml.encode("latin-1"))

    with pytest.raises(ConfigError, match=r"config\.toml: cannot be read"):
        load_settings(environ=environ, folder=project)


@pytest.mark.parametrize("key", ["ab cd", "ab\ncd", "clé", "ab\x00", "   "])
def test_an_odd_key_is_refused_without_being_shown(house, key):
    """A key with a line break would end in a header."""
    project, _, environ = house

    with pytest.raises(ConfigError) as caught:
        load_settings({"api_key": key}, environ=environ, folder=project)

    assert key.strip() not in str(caught.value) or not key.strip()
    assert "https://kie.ai/api-key" in str(caught.value) or "empty" in str(caught.value) or "text" in str(caught.value)


def test_blanks_around_a_key_go():
    """People paste line ends."""
    assert checked_key(f" {KEY}\n").reveal() == KEY


def test_a_key_in_a_file_that_others_read_is_refused(house):
    """The mend is in the message."""
    project, user, environ = house
    user.write_text(f'api_key = "{KEY}"')
    user.chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600") as caught:
        load_settings(environ=environ, folder=project)

    assert KEY not in str(caught.value)
    user.chmod(0o600)
    assert load_settings(environ=environ, folder=project).api_key.reveal() == KEY


@pytest.mark.parametrize(
    "url",
    [
        "http://api.kie.ai",
        "http://10.0.0.1:80",
        "https://user:pass@kie.ai",
        "https://kie.ai?x=1",
        "https://kie.ai#f",
        "https://kie.ai:99999",
        "https://ki e.ai",
        "ftp://kie.ai",
        "https://",
        7,
    ],
)
def test_the_key_travels_over_https_only(house, url):
    """Plain http is for this machine."""
    project, _, environ = house

    with pytest.raises(ConfigError, match="base_url"):
        load_settings({"base_url": url}, environ=environ, folder=project)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8787", "http://localhost:1/prefix", "http://[::1]:9", "https://gateway.example/kie/"]
)
def test_addresses_that_are_fine(house, url):
    """A final slash goes, a prefix stays."""
    project, _, environ = house

    assert load_settings({"base_url": url}, environ=environ, folder=project).base_url == url.rstrip("/")


@pytest.mark.parametrize("url", ["https://API.Kie.ai/", "HTTPS://api.kie.ai:443", "https://api.kie.ai//"])
def test_one_place_is_one_account_however_it_is_spelt(house, url):
    """Else its limits, turns and job keys would be two."""
    project, _, environ = house
    plain, odd = (
        load_settings({"api_key": "abc", "base_url": one}, environ=environ, folder=project)
        for one in ("https://api.kie.ai", url)
    )

    assert account_of(odd) == account_of(plain)


def test_names_come_as_text_or_list(house):
    """KIE_PLUGINS=a,b and plugins = ["a", "b"]."""
    project, user, environ = house
    user.write_text('disable_plugins = ["suno"]')

    settings = load_settings(environ=environ | {"KIE_PLUGINS": "veo3, suno,"}, folder=project)

    assert settings.plugins == ("veo3", "suno")
    assert settings.disable_plugins == ("suno",)


def test_rows_show_value_and_origin_of_every_setting_but_not_the_key(house):
    """What `kie config` prints."""
    project, _, environ = house

    rows = {
        row["name"]: row for row in load_with_origins(environ=environ | {"KIE_API_KEY": KEY}, folder=project).rows()
    }

    assert set(rows) == set(attrs.fields_dict(Settings))
    assert rows["api_key"] == rows["api_key"] | {"value": "***", "origin": "environment", "place": "KIE_API_KEY"}
    assert KEY not in str(rows)


def test_the_users_file_is_in_the_users_folder():
    """KIE_CONFIG_DIR overrides the platform's folder."""
    assert str(user_file({"KIE_CONFIG_DIR": "/somewhere"})).replace("\\", "/") == "/somewhere/config.toml"
    assert user_file({}).name == "config.toml"


def test_a_secret_shows_itself_nowhere():
    """Not in repr, str, format, attrs, and it refuses to be pickled."""
    secret = Secret(KEY)

    assert (
        KEY not in f"{secret} {secret!r} {[secret]} {Settings(api_key=secret)} {attrs.asdict(Settings(api_key=secret))}"
    )
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_an_echo_of_the_key_is_masked():
    """A vendor that echoes the key does not put it into our messages."""
    assert redacted(f"bad key {KEY}".encode(), Secret(KEY)) == b"bad key ***"


def test_a_toy_key_masks_nothing():
    """The letters of a short key stand in innocent places, such as task ids."""
    assert redacted(b'{"taskId": 1}', Secret("k")) == b'{"taskId": 1}'


def test_rates_are_exact():
    """Decimal, from any source."""
    assert load_settings({"rub_per_usd": "80.10"}).rub_per_usd == Decimal("80.10")


@pytest.mark.parametrize("value", [0.001, "9.9", "nan", "1" + "0" * 400])
def test_a_create_is_given_time_to_answer(house, value):
    """Giving up early makes a purchase unknown."""
    project, _, environ = house

    with pytest.raises(ConfigError, match="create_timeout"):
        load_settings({"create_timeout": value}, environ=environ, folder=project)


def test_a_password_in_a_url_is_not_shown(house):
    """The message names the value without it."""
    project, _, environ = house

    with pytest.raises(ConfigError) as caught:
        load_settings({"base_url": "https://me:s3cret@api.kie.ai"}, environ=environ, folder=project)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "place", ["postgresql:/u:hunter2@db.example/kie", "Postgres:u:hunter2@db.example", "sqlite:/home/u/ledger.sqlite"]
)
def test_a_server_that_is_misspelt_is_no_file(house, place):
    """A file of that name would be a ledger for this machine alone, with limits of its own."""
    project, _, environ = house

    with pytest.raises(ConfigError, match=r"expected a path, memory: or postgresql://") as caught:
        load_settings({"ledger": place}, environ=environ, folder=project)

    assert "hunter2" not in str(caught.value)


def test_a_home_that_nobody_has_is_a_fault_like_others(house):
    """Not a traceback."""
    project, _, environ = house

    with pytest.raises(ConfigError, match="out"):
        load_settings({"out": "~no-such-user/x"}, environ=environ, folder=project)


@pytest.mark.parametrize("said", [None, "", " ", "/elsewhere"])
def test_folders_are_where_platformdirs_says(monkeypatch, said):
    """Also on Linux, where it is not asked."""
    for variable in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)
        if said is not None:
            monkeypatch.setenv(variable, said)

    assert user_file({}) == platformdirs.user_config_path("kie") / "config.toml"
    assert cache_folder({}) == platformdirs.user_cache_path("kie")
    assert default_ledger({}) == platformdirs.user_state_path("kie") / "ledger.sqlite"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is for Linux")
def test_a_folder_that_depends_on_the_working_folder_is_no_folder(monkeypatch):
    """The specification has it ignored; a ledger would be another one in every project."""
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")

    assert default_ledger({}) == Path.home() / ".local/state/kie/ledger.sqlite"
