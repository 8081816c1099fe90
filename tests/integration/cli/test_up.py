"""`trunkline up` as a process, on a data folder and ports of its own."""

import os
import pty
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TERMINAL = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes standard input the controlling terminal, so that Ctrl-C there is a SIGINT."""
SCRIPT = Path(__file__).with_name("composition_for_tests.py")


class Installation:
    def __init__(self, data: Path, ports: list[int]) -> None:
        self.data = data
        self.web, self.sandbox, self.product, self.other = ports
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")
        } | {
            "TRUNKLINE_DATA": str(data),
            "TRUNKLINE_PORT": str(self.web),
            "TRUNKLINE_SANDBOX_PORT": str(self.sandbox),
            "TRUNKLINE_PRODUCT_PORT": str(self.product),
        }
        self.processes: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCRIPT), *arguments],
            env=self.env | env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )

    def up(self, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
        """Started and greeted; the text up to then."""
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "up", *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        text = self.read_until(process, "Ctrl-C stops everything")
        return process, text

    @staticmethod
    def read_until(process: "subprocess.Popen[str]", words: str) -> str:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if words in line:
                return text
        raise AssertionError(f"it ended without saying {words!r}:\n{text}")

    def living(self) -> Iterator[tuple[int, bytes]]:
        """Living processes that name this data folder in their arguments or environment: pid and command line."""
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    command, environment = (
                        (folder / "cmdline").read_bytes(),
                        (folder / "environ").read_bytes(),
                    )
                except OSError:  # it has ended, or is somebody else's
                    continue
                if os.fsencode(self.data) in command + environment:
                    yield int(folder.name), command

    def leftovers(self) -> list[str]:
        return [command.decode().replace("\0", " ") for _, command in self.living()]


@pytest.fixture
def installation(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> Iterator[Installation]:
    made = Installation(tmp_path / "data", free_ports(4))
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        elif process.stdout is not None:
            process.stdout.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_five_seconds(
    installation: Installation, signum: signal.Signals
) -> None:
    process, text = installation.up("--demo")
    assert f"http://127.0.0.1:{installation.web}" in text
    assert "ada / hello" in text
    for port in (installation.web, installation.sandbox, installation.product):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert answer.read() == b"fine"
    assert len(installation.leftovers()) >= 5
    process.send_signal(signum)
    rest, _ = process.communicate(timeout=5)
    assert process.returncode == 0
    assert "Stopped." in rest
    assert installation.leftovers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_neither_a_stubborn_worker_nor_an_open_request_delays_the_end(installation: Installation) -> None:
    installation.data.mkdir()
    (installation.data / "stubborn").touch()
    process, _ = installation.up("--demo")
    with socket.create_connection(("127.0.0.1", installation.web)) as request:
        request.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=5)
    assert process.returncode == 0
    assert installation.leftovers() == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_supervisor_takes_everything_with_it_and_the_data_stays(installation: Installation) -> None:
    process, _ = installation.up()
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while installation.leftovers() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert installation.leftovers() == []
    installation.up()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_that_dies_is_started_again_and_said_so(installation: Installation) -> None:
    process, _ = installation.up()
    worker = os.fsencode(f"{SCRIPT}\0worker\0")
    pids = [pid for pid, command in installation.living() if command.endswith(worker)]
    assert len(pids) == 1
    os.kill(pids[0], signal.SIGKILL)
    text = installation.read_until(process, "worker ended")
    assert "killed by SIGKILL" in text
    pid_file = installation.data / "postgres" / "postmaster.pid"
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)
    installation.read_until(process, "postgres had ended; it runs again")


def test_a_second_copy_a_taken_port_and_other_commands_beside_it(
    installation: Installation, tmp_path: Path
) -> None:
    process, _ = installation.up()
    other = installation.other
    for second in (installation.run("up"), installation.run("up", TRUNKLINE_PORT=str(other))):
        assert_one_sentence(second, f"process {process.pid}", "TRUNKLINE_DATA")
    taken = installation.run("up", TRUNKLINE_DATA=str(tmp_path / "elsewhere"))
    assert_one_sentence(taken, f"Port {installation.web}", "TRUNKLINE_PORT")
    assert not (tmp_path / "elsewhere").exists()
    assert_one_sentence(installation.run("web"), f"Port {installation.web}", "TRUNKLINE_PORT")
    refused = installation.run("up", "--reset", "--yes", TRUNKLINE_PORT=str(other))
    assert_one_sentence(refused, f"process {process.pid}")
    assert "already at" in installation.run("migrate").stdout
    doctor = installation.run("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "running" in doctor.stdout
    password = (installation.data / "postgres.password").read_text().strip()
    assert password not in doctor.stdout


def test_reset_asks_and_then_starts_over(installation: Installation) -> None:
    assert installation.run("migrate").returncode == 0
    kept = installation.data / "notes.txt"
    kept.write_text("somebody's own")
    password = (installation.data / "postgres.password").read_text()
    declined = installation.run("up", "--reset")
    assert declined.returncode == 1
    assert (installation.data / "postgres.password").read_text() == password
    installation.up("--reset", "--yes")
    assert (installation.data / "postgres.password").read_text() != password
    assert kept.exists()


def test_ctrl_c_in_a_terminal_ends_it_cleanly(installation: Installation) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, sys.executable, str(SCRIPT), "up"],
        env=installation.env,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    text = b""
    while b"Ctrl-C stops everything" not in text:
        text += os.read(leader, 4096)
    os.write(leader, b"\x03")
    assert process.wait(timeout=5) == 0
    try:
        while chunk := os.read(leader, 4096):
            text += chunk
    except OSError:  # Linux's end of a terminal
        pass
    os.close(leader)
    assert b"Stopped." in text
    assert b"Traceback" not in text


def assert_one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    for word in words:
        assert word in lines[0]
