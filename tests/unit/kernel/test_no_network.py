"""The guard of this folder's tests, tested."""

import socket

import pytest


def test_connecting_fails_by_name() -> None:
    with socket.socket() as probe, pytest.raises(pytest.fail.Exception, match=r"192\.0\.2\.1"):
        probe.connect(("192.0.2.1", 80))


def test_looking_up_a_name_fails_by_name() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)
