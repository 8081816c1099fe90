"""Every way in the list, against a canary; and that the world of these tests would let each of them through."""

import httpx2
import pytest

from trunkline.cli import bench
from trunkline.kernel.egress import AnswerTooLargeError, EgressRefusedError

egress = bench._load("egress")
CASES = egress.cases.CASES


@pytest.fixture(scope="module")
def authority():
    return egress.Authority()


@pytest.fixture(scope="module")
async def around(authority):
    async with egress.world(authority) as made:
        yield made


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
async def test_the_canary_sees_nothing(case, around, authority) -> None:
    before, around.dialled[:], around.looked_up[:] = around.canary.connections, [], []
    error = await egress.attack(case, around, authority)
    assert around.canary.connections == before
    assert {address for address, _ in around.dialled} <= {egress.cases.HONEST}
    if case.leaves:
        assert error is None or isinstance(error, EgressRefusedError)
        assert around.dialled
    elif case.kind in {"answer", "mixed"}:
        assert isinstance(error, EgressRefusedError)
    elif case.kind == "spelling" and around.dialled:
        assert error is None  # another spelling of the API's own name
    else:
        # refused by its looks: nobody's name server learns of it
        assert isinstance(error, EgressRefusedError | httpx2.InvalidURL), error
        assert not isinstance(error, AnswerTooLargeError)
        assert not around.looked_up


def test_there_are_enough_ways() -> None:
    assert len(CASES) >= 300
    assert len({case.name for case in CASES}) >= 300


async def test_the_world_lets_everything_through_to_the_canary(around) -> None:
    """Without the guard the same network connects; so the silence above is the guard's."""
    before = around.canary.connections
    around.answers = [("127.0.0.1",)]
    for host in ("127.0.0.1", "::1", "169.254.169.254", egress.cases.HOSTILE, "hostile.test"):
        stream = await around.connect_tcp(host, 443)
        await stream.aclose()
    assert around.canary.connections == before + 5
