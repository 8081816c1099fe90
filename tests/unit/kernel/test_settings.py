from pathlib import Path

import pytest

from trunkline.kernel.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("TRUNKLINE_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TRUNKLINE_PORT", "eighty", "int"),
        ("TRUNKLINE_PORT", "70000", "65535"),
        ("TRUNKLINE_LOG_LEVEL", "loud", "loud"),
        ("TRUNKLINE_LEASE_SECONDS", "0", ">= 1"),
        ("TRUNKLINE_DATABASE_URL", "mysql://root:hush@db/x", "postgresql://"),
        ("TRUNKLINE_VALKEY_URL", "localhost:6379", "redis://"),
        ("TRUNKLINE_PUBLIC_URL", "example.org", "https://"),
    ],
)
def test_an_unusable_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).startswith(f"{name} cannot be used: ")
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


def test_the_environment_is_read_and_overrides_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_PORT", "9001")
    monkeypatch.setenv("TRUNKLINE_DATA", "~/somewhere")
    monkeypatch.setenv("TRUNKLINE_ACCESS_LOG", "true")
    monkeypatch.setenv("TRUNKLINE_KEY_FILE", "/keys/one")
    settings = Settings.load(host="0.0.0.0")
    assert (settings.port, settings.host, settings.access_log) == (9001, "0.0.0.0", True)
    assert settings.data == Path.home() / "somewhere"
    assert settings.wrapping_key_file == Path("/keys/one")


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_PORT", "")
    monkeypatch.setenv("TRUNKLINE_SANDBOX_URL", "")
    assert Settings.load() == Settings()


def test_misspelt_variables_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_DATABSE_URL", "postgresql://x/y")
    monkeypatch.setenv("TRUNKLINE_PORT", "9000")
    assert Settings.unknown() == ["TRUNKLINE_DATABSE_URL"]


def test_leases_and_heartbeats_are_what_is_promised() -> None:
    assert (Settings().lease_seconds, Settings().heartbeat_seconds) == (15, 5)
