import os
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.kernel.embedded import EmbeddedError, FolderLock


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    with FolderLock(tmp_path / "data"), pytest.raises(EmbeddedError) as caught:
        FolderLock(tmp_path / "data").acquire()
    assert f"process {os.getpid()}" in str(caught.value)
    assert "TRUNKLINE_DATA" in str(caught.value)


def test_it_is_free_after_release_and_after_kill(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        pass
    script = (
        "import os, signal, pathlib, sys; from trunkline.kernel.embedded import FolderLock;"
        "FolderLock(pathlib.Path(sys.argv[1])).acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, timeout=30)
    assert done.returncode == -9
    with FolderLock(tmp_path):
        pass


def test_a_file_in_the_folders_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(EmbeddedError, match="cannot be written"):
        FolderLock(tmp_path / "data").acquire()
