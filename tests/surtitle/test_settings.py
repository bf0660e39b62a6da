"""Settings that go together, and those that do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from surtitle.settings import Settings, SettingsError, UserError, cache_folder, data_folder


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_without_a_secret_loopback_is_fine(host):
    Settings(host=host).check()


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "", "192.0.2.7", "captions.example.org", "localhost.example.org"]
)
def test_without_a_secret_nothing_else_is_and_the_error_says_what_to_do(host):
    with pytest.raises(SettingsError, match="--secret") as error:
        Settings(host=host).check()
    assert isinstance(error.value, UserError)
    Settings(host=host, secret="north").check()


@pytest.mark.parametrize("url", ["turn:turn.example.org", "turns:turn.example.org"])
def test_turn_needs_its_secret_and_stun_does_not(url):
    with pytest.raises(SettingsError, match="--turn-secret"):
        Settings(turn_urls=("stun:stun.example.org", url)).check()
    Settings(turn_urls=(url,), turn_secret="north").check()
    Settings(turn_urls=("stun:stun.example.org",)).check()


def test_turn_credentials_are_good_for_as_long_as_is_asked_for():
    settings = Settings(turn_urls=("turn:t",), turn_secret="north", turn_lifetime=600)
    (server,) = settings.turn.ice_servers("p-anna", now=1000)
    assert server["username"] == "1600:p-anna"


def test_folders_are_where_xdg_says(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere/data")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert data_folder() == Path("/somewhere/data/surtitle")
    assert cache_folder() == Path("/somewhere/cache/surtitle")
    assert Settings().data == data_folder()


@pytest.mark.parametrize("value", [None, ""])
def test_without_xdg_folders_are_at_home(monkeypatch, tmp_path, value):
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)
    assert data_folder() == tmp_path / ".local" / "share" / "surtitle"
    assert cache_folder() == tmp_path / ".cache" / "surtitle"


@pytest.mark.parametrize(
    ("cores", "workers", "threads"),
    [(1, 1, 1), (2, 2, 1), (4, 4, 1), (8, 4, 1), (16, 4, 2), (64, 4, 4), (None, 1, 1)],
)
def test_on_a_cpu_there_are_workers_by_cores_and_some_are_left_to_media(
    monkeypatch, cores, workers, threads
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert Settings().workers_on("cpu") == workers
    assert Settings().threads_on("cpu") == threads


def test_a_gpu_has_one_worker_and_larger_batches(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert Settings().workers_on("cuda") == 1
    assert Settings().threads_on("cuda") == 4
    assert Settings().batch_on("cuda") > Settings().batch_on("cpu") > 1


def test_capacity_is_what_is_set_and_else_a_guess_by_device(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert Settings(capacity=3).capacity_on("cuda") == 3
    assert Settings().capacity_on("cpu") == 16
    assert Settings().capacity_on("cuda") > Settings().capacity_on("cpu")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert Settings().capacity_on("cpu") > 0


KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_webhooks_lead_to_the_public_by_https_or_where_they_are_allowed():
    Settings(webhooks=("https://hooks.example.com/a",), webhook_secret=KEY).check()
    inside = Settings(
        webhooks=("http://10.1.2.3/a",), webhook_secret=KEY, webhook_allow=("10.0.0.0/8",)
    )
    inside.check()
    [target] = inside.targets().of(None)
    assert target.url == "http://10.1.2.3/a"
    assert target.events == {"call.ended", "transcript.ready"}
    chosen = Settings(
        webhooks=("https://a.example",), webhook_secret=KEY, webhook_events=("caption.final",)
    )
    assert [t.events for t in chosen.targets().of(None)] == [{"caption.final"}]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"webhooks": ("https://a.example",)}, "--webhook-secret"),
        ({"webhook_secret": "hush"}, "--webhook-secret"),
        ({"webhook_allow": ("hooks.internal",)}, "--webhook-allow"),
        ({"webhook_events": ("call.began",)}, "--webhook-event"),
        ({"webhooks": ("http://10.0.0.1/a?key=hush",), "webhook_secret": KEY}, "--webhook"),
        ({"webhooks": ("http://a.example",), "webhook_secret": KEY}, "--webhook"),
    ],
)
def test_webhooks_that_cannot_be_meant_are_refused_without_telling_secrets(settings, named):
    with pytest.raises(SettingsError, match=named) as error:
        Settings(**settings).check()
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"jwks": "http://login.example.org/keys"}, "--jwks-allow"),
        ({"jwks": "keys"}, "--jwks"),
        ({"jwks": "https://login.example.org", "jwks_allow": ("login",)}, "--jwks-allow"),
        ({"previous_secret": "south"}, "--secret"),
    ],
)
def test_where_keys_come_from_must_be_meant(more, said):
    with pytest.raises(SettingsError, match=said):
        Settings(**more).check()
    Settings(jwks="https://login.example.org/keys").check()
    assert not Settings(jwks="https://login.example.org/keys").is_open
    assert Settings().is_open


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"turn_regions": ("eu=turn:eu.example.org",)}, "--turn-secret"),
        ({"turn_regions": ("eu",), "turn_secret": "north"}, "--turn-region"),
        ({"turn_near": ("de=eu",)}, "no servers are in eu"),
        ({"turn_urls": ("https://turn.example.org",)}, "no stun:, turn: or turns:"),
    ],
)
def test_turn_servers_that_cannot_be_meant_are_refused(settings, why):
    with pytest.raises(SettingsError, match=why):
        Settings(**settings).check()
