"""A vetted address is dialled, and who answers there must hold the name's certificate."""

import asyncio

import httpx2
import pytest

from trunkline.cli import bench
from trunkline.kernel.egress import Egress
from trunkline.kernel.egress.resolver import KEEP_SECONDS
from trunkline.kernel.settings import Settings

egress = bench._load("egress")
API, HONEST = egress.cases.API, egress.cases.HONEST


@pytest.fixture(scope="module")
def authority():
    return egress.Authority()


@pytest.fixture
async def around(authority):
    async with egress.world(authority) as made:
        made.answers = [(HONEST,)]
        yield made


@pytest.fixture
async def out(around, authority):
    made = Egress(Settings(), lookup=around.lookup, wire=around, trust=lambda: authority.trust)
    yield made
    await made.close()


async def test_the_vetted_address_is_dialled_and_the_certificate_is_the_names(around, out) -> None:
    async with out.client({API}) as client:
        answer = await client.get(f"https://{API}/")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert around.dialled == [(HONEST, 443)]
    assert around.looked_up == [API]


async def test_a_certificate_of_another_name_is_refused(around, out) -> None:
    async with out.client({"other.example.com"}) as client:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await client.get("https://other.example.com/")
    assert around.dialled == [(HONEST, 443)]
    assert around.canary.honest == 0


async def test_a_certificate_of_an_unknown_authority_is_refused(around) -> None:
    out = Egress(Settings(), lookup=around.lookup, wire=around, trust=lambda: egress.Authority().trust)
    async with out.client({API}) as client:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await client.get(f"https://{API}/")
    assert around.canary.honest == 0
    await out.close()


async def test_the_systems_own_authorities_are_asked_by_default(
    around, authority, tmp_path, monkeypatch
) -> None:
    """Not those that a variable of the environment names."""
    (tmp_path / "own.pem").write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    out = Egress(Settings(), lookup=around.lookup, wire=around)
    async with out.client({API}) as client:
        with pytest.raises(httpx2.ConnectError, match="certificate"):
            await client.get(f"https://{API}/")
    await out.close()


async def test_a_pattern_admits_a_customers_own_name(around, out) -> None:
    async with out.client({egress.cases.PATTERN}) as client:
        assert (await client.get("https://acme-2.zendesk.com/")).status_code == 200


async def test_a_dead_address_is_passed_over(around, out) -> None:
    connect = around.connect_tcp

    async def first_is_dead(host, port, *more):
        if host == "151.101.65.1":
            around.dialled.append((host, port))
            raise egress.httpcore2.ConnectError("refused")
        return await connect(host, port, *more)

    around.answers = [("151.101.65.1", HONEST)]
    around.connect_tcp = first_is_dead
    async with out.client({API}) as client:
        assert (await client.get(f"https://{API}/")).status_code == 200
    assert [host for host, _ in around.dialled] == ["151.101.65.1", HONEST]


async def test_a_burst_costs_one_lookup(around, out) -> None:
    async with out.client({API}) as client:
        answers = await asyncio.gather(*(client.get(f"https://{API}/") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert around.looked_up == [API]
    assert KEEP_SECONDS <= 10  # longer, and a provider that moves is not found
