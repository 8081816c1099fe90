"""Ways in which a call could be made to arrive where it must not; read by the measurement and by the tests."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import msgspec

HONEST = "151.101.1.1"
"""A public address. In these tests the honest provider is there; the canary is at every other address."""
HOSTILE = "45.79.1.1"
"""A public address of somebody else's."""
API = "api.example.com"
PATTERN = "{subdomain}.zendesk.com"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """`hosts`: what may be called; None: whatever host the address names, as if a tenant had given it.

    `answers`: what successive lookups of a name yield (`HOSTILE` alone: only for others' names). `leaves`: the first call may be made, to the honest
    provider; what comes after it must not reach the canary.
    """

    kind: str
    url: str
    hosts: tuple[str, ...] | None = (API,)
    answers: tuple[tuple[str, ...], ...] = ((HONEST,),)
    location: str = ""
    status: int = 302
    headers: dict[str, str] = {}
    extensions: dict[str, str] = {}
    leaves: bool = False

    @property
    def name(self) -> str:
        shown = self.location or ("|".join(",".join(answer) for answer in self.answers) + " " + self.url)
        return f"{self.kind}: {shown}".encode("ascii", "backslashreplace").decode()[:120]


INSIDE_4 = (
    "127.0.0.1",
    "169.254.169.254",
    "10.0.0.5",
    "192.168.1.10",
    "172.16.3.4",
    "100.100.100.200",
    "0.0.0.0",
)
CLOSED = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.254", "100.64.0.1", "100.100.100.200", "100.127.255.254"),
    *("127.0.0.1", "127.8.8.8", "127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254"),
    *("172.16.0.1", "172.31.255.254", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1"),
    *("192.168.255.254", "198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
    *("::ffff:0:127.0.0.1", "::ffff:151.101.1.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1"),
    *("64:ff9b:1::7f00:1", "100::1", "2001::1", "2001:0:7f00:1::80ff:fffe", "2001:2::1", "2001:10::1"),
    *("2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2002:a00:1::1", "2002:c0a8:101::1"),
    *(
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff::1",
        "fe80::1",
        "fe80::1%lo",
        "fe80::a9fe:a9fe%2",
    ),
    *("febf::1", "fec0::1", "ff01::1", "ff02::1", "ff0e::1", "2620:4f:8000::1"),
)


def spellings(address: str) -> Iterator[str]:
    """The same IPv4 address as some reader or other takes it."""
    whole = int(IPv4Address(address))
    a, b, c, d = (int(part) for part in address.split("."))
    yield from (address, f"{address}.", str(whole), f"{whole}.", f"0{whole:o}", f"{whole:#x}", f"{whole:#X}")
    yield from (f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.{b}.0{c:o}.{d}")
    yield from (f"{a}.{(b << 16) + (c << 8) + d}", f"{a}.{b}.{(c << 8) + d}", f"{a:#x}.{whole & 0xFFFFFF:#x}")
    yield from (f"{a:03}.{b:03}.{c:03}.{d:03}", str(whole + (1 << 32)), f"{a + 256}.{b}.{c}.{d}")
    yield from (
        f"[::ffff:{address}]",
        f"[::{address}]",
        f"[64:ff9b::{address}]",
        f"[2002:{whole >> 16:x}:{whole & 0xFFFF:x}::]",
    )
    yield from (
        f"[{IPv6Address((0xFFFF << 32) + whole).exploded}]",
        f"[::FFFF:{whole >> 16:X}:{whole & 0xFFFF:X}]",
    )
    yield "".join(f"%{ord(letter):02x}" for letter in address)
    yield address.replace(".", "%2e")
    yield "".join(
        chr(0xFF10 + int(letter)) if letter.isdigit() else letter for letter in address
    )  # full width
    yield address.replace(".", "。")
    yield "".join(chr(0x2460 + int(x) - 1) if x in "123456789" else x for x in address)  # in circles
    yield "".join(chr(0x1D7CE + int(x)) if x.isdigit() else x for x in address)  # bold
    yield "".join(chr(0x0660 + int(x)) if x.isdigit() else x for x in address)  # Arabic-Indic


def _literals() -> Iterator[Case]:
    for address in INSIDE_4:
        for spelt in spellings(address):
            yield Case(kind="literal", url=f"https://{spelt}/", hosts=None)
    for spelt in (
        "[::1]",
        "[::]",
        "[fe80::1%25lo]",
        "[fd00:ec2::254]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
        "[::1%25]",
    ):
        yield Case(kind="literal", url=f"https://{spelt}/", hosts=None)
    for name in (
        "localhost",
        "LOCALHOST",
        "localhost.",
        "loopback",
        "metadata",
        "ip6-localhost",
        "0",
        "0x",
        "1e3",
    ):
        yield Case(kind="short name", url=f"https://{name}/", hosts=None, answers=(("127.0.0.1",),))


def _answers() -> Iterator[Case]:
    url = f"https://{API}/"
    for address in CLOSED:
        yield Case(kind="answer", url=url, answers=((address,),))
    for address in CLOSED[::2]:
        yield Case(kind="mixed", url=url, answers=((HONEST, address),))
        yield Case(kind="mixed", url=url, answers=((address, HONEST),))
    for address in CLOSED[::3]:
        # vetted once, and a second lookup for the connection would find the other
        yield Case(kind="flipping", url=url, answers=((HONEST,), (address,)), leaves=True)
    for name in (
        "hooks.tenant.test",
        "localhost.tenant.test",
        "127.0.0.1.nip.test",
        "metadata.google.internal",
    ):
        yield Case(kind="answer", url=f"https://{name}/", hosts=None, answers=(("127.0.0.1",),))


def _redirects() -> Iterator[Case]:
    targets = (
        *(
            "http://127.0.0.1/",
            "https://127.0.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "//127.0.0.1/",
        ),
        *(
            "https://hostile.test/",
            "https://[::1]/",
            "http://2130706433/",
            "gopher://127.0.0.1:6379/_FLUSHALL",
        ),
        *(
            "https:\\\\127.0.0.1\\",
            "https://api.example.com.hostile.test/",
            f"http://{API}/",
            "file:///etc/passwd",
        ),
    )
    for target in targets:
        for status in (301, 302, 307):
            yield Case(kind="redirect", url=f"https://{API}/", location=target, status=status, leaves=True)
    yield Case(kind="redirect", url=f"https://{API}/", location="https://127.0.0.1/", status=303, leaves=True)
    yield Case(kind="redirect", url=f"https://{API}/", location="https://127.0.0.1/", status=308, leaves=True)


def _spelling_of_urls() -> Iterator[Case]:
    """Addresses that one reader takes for the API's and another for somebody else's."""
    for text in (
        *("user@hostile.test", "user:pass@hostile.test", f"{API}@hostile.test", f"{API}:443@hostile.test"),
        *(
            f"{API}%40hostile.test",
            f"hostile.test%40{API}",
            f"a@b@{API}",
            f"@{API}",
            f"user@{API}",
            f"::@{API}",
        ),
        *(f"hostile.test\\@{API}", f"hostile.test\\.{API}", f"hostile.test/@{API}", f"hostile.test#@{API}"),
        *(f"hostile.test?@{API}", f"\\hostile.test\\{API}", f"{API}\\hostile.test", f"{API}\\@hostile.test"),
        *(
            f"hostile.test%23.{API}",
            f"hostile.test%2f.{API}",
            f"hostile.test%00.{API}",
            f"hostile.test%5c.{API}",
        ),
        *(f"{API}.", f"{API}..", f".{API}", f"{API}.hostile.test", f"hostile-{API}", f"hostile.test.{API}"),
        *("api..example.com", "api.example.com%2e", "api.example.co", "example.com", "xapi.example.com"),
        *(f"{API}:80", f"{API}:22", f"{API}:8443", f"{API}:0", f"{API}:65536", f"{API}:-1", f"{API}:+444"),
        *(f"{API}:444", f"{API}:6379", f"{API}:443:443", f"{API}:4 43", f"{API}:０", f"{API}:4４4"),
        *(f"{API}\t.hostile.test", f"{API}\n.hostile.test", f"{API}\r\nHost: hostile.test", f"{API}\x00"),
        *(
            f"hostile.test\x00.{API}",
            f"hostile.test\t@{API}",
            f"{API}\x7f",
            f"{API} .hostile.test",
            f" {API}x",
        ),
        *(
            f"{API}\x0b",
            f"{API}\x1f.hostile.test",
            f"{API}\u200b",
            f"{API}\u2028",
            f"{API}\u00ad.hostile.test",
        ),
        *("аpi.example.com", "api.ехample.com", "api.exаmple.com", "api.example.сom", "ɑpi.example.com"),
        *("api.eхample.com", "apı.example.com", "api.examp1e.com", "api.exarnple.com", "api。hostile。test"),
        *(
            "api．hostile．test",
            "api.example.com／hostile.test",
            "api.example.com⁄hostile.test",
            "api.exam‍ple.com",
        ),
        *("hostile.test／api.example.com", "hostile.test？api.example.com", "hostile.test＃api.example.com"),
        *(
            "xn--pi-7kc.example.com",
            "api.xn--xample-2of.com",
            "ａpi.hostile.test",
            "ⓐpi.hostile.test",
            "api.example.com﹫hostile.test",
        ),
        *(
            "",
            ".",
            "..",
            "-",
            "_",
            "*",
            "*.example.com",
            "[",
            "[]",
            "]",
            "[api.example.com]",
            "a" * 64 + ".com",
        ),
    ):
        yield Case(kind="spelling", url=f"https://{text}/", answers=((HOSTILE,),))
    for scheme in (
        "http",
        "HTTP",
        "ftp",
        "file",
        "gopher",
        "ws",
        "wss",
        "unix",
        "dict",
        "ldap",
        "javascript",
        "htTp",
    ):
        yield Case(kind="scheme", url=f"{scheme}://{API}/")
    for whole in (
        f"//{API}/",
        f"https:{API}",
        f"https:/{API}/",
        f"https:///{API}/",
        f"{API}/",
        f"https:\\\\{API}\\",
        f"http:{API}",
    ):
        yield Case(kind="scheme", url=whole, answers=((HOSTILE,),))


def _patterns() -> Iterator[Case]:
    """What a hostile customer may give for the subdomain of an address."""
    for given in (
        *(
            "hostile.test/",
            "hostile.test#",
            "hostile.test?",
            "hostile.test\\",
            "hostile.test%2f",
            "hostile.test:443/",
        ),
        *(
            "user@hostile.test/",
            "a.b",
            "a.b.c",
            "",
            ".",
            "..",
            "-",
            "-a",
            "a-",
            "a_b",
            "*",
            "%61",
            "a b",
            "a\tb",
        ),
        *(
            "xn--80ak6aa92e",
            "acmе",
            "ácme",
            "ａ",
            "a" * 64,
            "a\x00",
            "127.0.0.1",
            "127.0.0.1/",
            "127.0.0.1#",
            "{subdomain}",
        ),
        *(
            "localhost/",
            "[::1]/",
            "a@b",
            "a:b",
            "a:b@c",
            "acme.zendesk.com.hostile.test/",
            "acme。",
            "a\u200bb",
        ),
    ):
        yield Case(
            kind="subdomain", url=f"https://{given}.zendesk.com/", hosts=(PATTERN,), answers=((HOSTILE,),)
        )
    for host in ("zendesk.com", "acme.zendesk.com:8443", "acmezendesk.com", "acme.zendesk.com.hostile.test"):
        yield Case(kind="subdomain", url=f"https://{host}/", hosts=(PATTERN,), answers=((HOSTILE,),))


def _misled() -> Iterator[Case]:
    for host in ("hostile.test", "127.0.0.1", f"{API}:8443", f"{API}.hostile.test", "localhost", ""):
        yield Case(kind="host header", url=f"https://{API}/", headers={"host": host})
    for name in ("hostile.test", "127.0.0.1", "localhost"):
        # TLS for another name: the honest certificate must still be asked for, so the call succeeds unharmed
        yield Case(kind="tls name", url=f"https://{API}/", extensions={"sni_hostname": name}, leaves=True)
    for port in (8701, 8702, 6379, 5432, 22):
        yield Case(kind="beside the sandbox", url=f"http://127.0.0.1:{port}/", hosts=(f"127.0.0.1:{port}",))
    yield Case(kind="proxy", url=f"https://{API}/", leaves=True)


CASES = [*_literals(), *_answers(), *_redirects(), *_spelling_of_urls(), *_patterns(), *_misled()]
