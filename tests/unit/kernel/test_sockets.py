import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.embedded import EmbeddedError
from trunkline.kernel.embedded.sockets import (
    LONGEST_NAME,
    SOCKET_PATH_LIMIT,
    make_socket_folder,
    socket_folder,
)

parts = st.text(st.characters(min_codepoint=97, max_codepoint=0x17F), min_size=1, max_size=60)


@given(st.lists(parts, min_size=1, max_size=6))
def test_socket_paths_always_fit_and_are_stable(names: list[str]) -> None:
    data = Path("/", *names)
    folder = socket_folder(data)
    assert len(os.fsencode(folder / LONGEST_NAME)) <= SOCKET_PATH_LIMIT
    assert folder == socket_folder(data)


def test_long_paths_do_not_share_a_folder(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    assert socket_folder(long / "a") != socket_folder(long / "b")


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o777)
    open_to_all.chmod(0o777)
    with pytest.raises(EmbeddedError, match="not private"):
        make_socket_folder(open_to_all)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(EmbeddedError, match="not private"):
        make_socket_folder(link)
