"""Which addresses and names may be called at all."""

import asyncio
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel.egress import EgressRefusedError, check_hosts, host_of
from trunkline.kernel.egress.addresses import is_public
from trunkline.kernel.egress.resolver import KEEP_SECONDS, Resolver
from trunkline.kernel.egress.targets import Hosts

PUBLIC = "151.101.1.1"
NAT64 = IPv6Network("64:ff9b::/96")


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "151.101.1.1", "2606:4700::1111", "2a00:1450:4001::200e"]
)
def test_the_public_internet_may_be_called(text: str) -> None:
    assert is_public(ip_address(text))


def test_an_address_of_one_network_card_is_not_public() -> None:
    assert not is_public(ip_address("2606:4700::1111%2"))


def test_nat64_is_judged_by_what_it_holds() -> None:
    assert is_public(ip_address("64:ff9b::808:808"))
    assert not is_public(ip_address("64:ff9b::7f00:1"))


@given(
    st.ip_addresses(v=4)
    | st.ip_addresses(v=6)
    | st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address)
)
def test_nothing_that_python_calls_private_is_public(address: IPv4Address | IPv6Address) -> None:
    if is_public(address) and address not in NAT64:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved
        assert getattr(address, "sixtofour", None) is None
        assert getattr(address, "teredo", None) is None


@pytest.mark.parametrize(
    ("entry", "host", "admitted"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "api.example.com:8443", False),
        ("api.example.com:8443", "api.example.com:8443", True),
        ("{subdomain}.zendesk.com", "acme.zendesk.com", True),
        ("{subdomain}.zendesk.com", "acme--two.zendesk.com", True),
        ("{subdomain}.zendesk.com", "zendesk.com", False),
        ("{subdomain}.zendesk.com", "a.b.zendesk.com", False),
        ("{subdomain}.zendesk.com", "xn--80ak6aa92e.zendesk.com", False),
        ("{subdomain}.zendesk.com", "acmezendesk.com", False),
    ],
)
def test_what_an_entry_admits(entry: str, host: str, admitted: bool) -> None:
    check_hosts([entry])
    assert Hosts([entry]).admits(host) is admitted


@pytest.mark.parametrize(
    "entry",
    [
        *("", "com", "{x}.com", "https://api.example.com", "api.example.com/", "*.example.com", "127.0.0.1"),
        *("{a}{b}.example.com", "a.{b}.example.com", "api.example.com:99999", "user@api.example.com"),
        *("localhost", "{}.example.com", "[::1]"),
    ],
)
def test_a_manifest_cannot_ask_for_more(entry: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        check_hosts([entry])


def test_a_given_address_is_read_once_and_strictly() -> None:
    assert host_of("https://Hooks.Example.COM/in?x=1") == "hooks.example.com"
    assert host_of("https://hooks.example.com:8443/") == "hooks.example.com:8443"
    for bad in (
        "",
        "http://hooks.example.com/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://a@b.example/",
    ):
        with pytest.raises(EgressRefusedError):
            host_of(bad)


class Names:
    def __init__(self, *answers: list[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _name: str) -> list[str]:
        self.asked += 1
        await asyncio.sleep(0)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        return found


async def test_a_name_is_vetted_anew_after_a_few_seconds() -> None:
    moment = 0.0
    names = Names([PUBLIC], ["127.0.0.1"])
    resolver = Resolver(names, clock=lambda: moment)
    assert await resolver.addresses("a.example") == (ip_address(PUBLIC),)
    moment = KEEP_SECONDS - 1
    assert await resolver.addresses("a.example") == (ip_address(PUBLIC),)
    assert names.asked == 1
    moment = KEEP_SECONDS + 1
    with pytest.raises(EgressRefusedError):
        await resolver.addresses("a.example")


async def test_neither_a_refusal_nor_a_failure_is_kept() -> None:
    names = Names(["10.0.0.1"], OSError("no such name"), [], [PUBLIC])
    resolver = Resolver(names)
    with pytest.raises(EgressRefusedError):
        await resolver.addresses("a.example")
    for _ in range(2):
        with pytest.raises(httpcore2.ConnectError):
            await resolver.addresses("a.example")
    assert await resolver.addresses("a.example") == (ip_address(PUBLIC),)


async def test_many_at_once_ask_once_and_leave_nothing_behind() -> None:
    names = Names([PUBLIC])
    resolver = Resolver(names)
    await asyncio.gather(*(resolver.addresses("a.example") for _ in range(50)))
    assert names.asked == 1
    assert not resolver._asking
