import stat
from uuid import UUID

import pytest

from trunkline.vault.errors import KeyFileError, WrappingKeyError
from trunkline.vault.providers import KeyContext, LocalKeyFile, Wrapped

HERE = KeyContext(UUID(int=1), 1)


def test_a_missing_file_is_made_private_and_read_again(tmp_path):
    path = tmp_path / "new" / "wrapping.key"
    first = LocalKeyFile(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert LocalKeyFile(path).key_id == first.key_id
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "wrapping.key"
    LocalKeyFile(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        LocalKeyFile(path)


@pytest.mark.parametrize("content", [b"", b"short", b"A" * 43, b"\x00" * 32])
def test_a_file_without_a_key_is_refused(tmp_path, content):
    path = tmp_path / "wrapping.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="does not hold a key"):
        LocalKeyFile(path)


def test_a_link_is_not_followed(tmp_path):
    LocalKeyFile(tmp_path / "real.key")
    (tmp_path / "link.key").symlink_to(tmp_path / "real.key")
    with pytest.raises(KeyFileError, match="cannot be read"):
        LocalKeyFile(tmp_path / "link.key")


async def test_wrapping_is_bound_to_its_context_and_its_key(tmp_path):
    mine, other = LocalKeyFile(tmp_path / "a.key"), LocalKeyFile(tmp_path / "b.key")
    wrapped = await mine.wrap(b"k" * 32, HERE)
    assert await mine.unwrap(wrapped, HERE) == b"k" * 32
    assert b"k" * 32 not in wrapped.blob
    with pytest.raises(WrappingKeyError, match="altered or belongs to another tenant"):
        await mine.unwrap(wrapped, KeyContext(UUID(int=1), 2))
    with pytest.raises(WrappingKeyError, match=f"{mine.key_id}.*{other.key_id}"):
        await other.unwrap(wrapped, HERE)
    with pytest.raises(WrappingKeyError, match="altered"):
        await other.unwrap(Wrapped(other.key_id, wrapped.blob), HERE)


async def test_a_rotation_keeps_the_old_key_for_unwrapping_and_other_processes_notice(tmp_path):
    path = tmp_path / "wrapping.key"
    mine, other = LocalKeyFile(path), LocalKeyFile(path)
    old = await mine.wrap(b"k" * 32, HERE)
    name = await mine.rotate()
    assert list(await mine.held()) == [name, old.key_id]
    assert await mine.unwrap(old, HERE) == b"k" * 32
    new = await mine.wrap(b"n" * 32, HERE)
    assert new.key_id == name
    assert await other.unwrap(new, HERE) == b"n" * 32
    await mine.rotate()
    assert (await other.wrap(b"o" * 32, HERE)).key_id == await mine.current()
    await mine.forget([old.key_id])
    with pytest.raises(WrappingKeyError, match=old.key_id):
        await LocalKeyFile(path).unwrap(old, HERE)
    assert await LocalKeyFile(path).unwrap(new, HERE) == b"n" * 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
