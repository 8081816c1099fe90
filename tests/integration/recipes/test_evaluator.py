"""The real child process: what it can do, what stops it, and what outlives it."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.recipes import cel_worker, messages
from trunkline.recipes.cel_worker import Row, Rows, frame
from trunkline.recipes.errors import EvaluatorUnavailableError
from trunkline.recipes.evaluator import MAX_STOPPED, Evaluator
from trunkline.recipes.functions import EXAMPLE_RECORD, FUNCTIONS
from trunkline.recipes.results import Program

LONG = {
    "s": "a" * 16_000,
    "l": list(range(500)),
    "n": 9_000_000_000_000_000_000,
    "m": list(range(30)),
    "a": None,
    "b": "5",
}
# Some 2 s of CPU on a long text and no memory, within the library's own budget of iterations; 3 ms on a short one.
SEARCHES = " && ".join(["!record.s.contains('aaaaaaaaaaaaaaab')"] * 16)
SLOW = f"record.m.all(a, record.m.all(b, {SEARCHES}))"
LARGE = "record.s.replace('a', record.s)"


def program(*expressions, chosen=None):
    digest = hashlib.blake2b(repr((expressions, chosen)).encode()).digest()
    return Program(digest, expressions, chosen)


@pytest.fixture(autouse=True)
def everything_by_the_process(monkeypatch):
    """What the plainest expressions would do without it is in test_plain.py."""
    monkeypatch.setattr("trunkline.recipes.evaluator.plain_of", lambda _: None)


@pytest.fixture(scope="module")
async def evaluator():
    async with Evaluator() as running:
        yield running


async def one(evaluator, expression, record=LONG):
    [result] = await evaluator.evaluate(program(expression), [record])
    return result.values[0] if result.values else None, result.error or result.errors.get(0)


async def works(evaluator):
    assert await one(evaluator, "record.b + '!'") == ("5!", None)


@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row.name)
async def test_every_function_of_the_help_does_what_its_example_says(evaluator, row):
    checked = await evaluator.check(row.example)
    assert checked.ok, checked.message
    value, error = await one(evaluator, row.example, EXAMPLE_RECORD)
    assert error is None
    assert value == row.result
    assert type(value) is type(row.result)


@pytest.mark.parametrize(
    ("expression", "words", "position"),
    [
        ("", "Enter", None),
        ("1 +", "ends too early", 3),
        ("record.a.lowerAsci()", 'Did you mean "lowerAscii"?', 18),
        ("firstname", "record.firstname", 0),
        ("rec.email", 'Did you mean "record.email"?', 3),
        ("'a' + 1", "+ does not work on text and a whole number", 4),
        ("1 ==\n1.0", "Write 1.0 instead of 1", 2),
        ("record.a record.b", '"record" is not expected here', 9),
        ("(" * 2000 + "1" + ")" * 2000, "nested too deeply", None),
        ("[" * 2000 + "]" * 2000, "nested too deeply", None),
        ("record" + ".a" * 2000, "nested too deeply", None),
        ("+".join(["1"] * 2000), "nested too deeply", None),
        ("record.map(k, k)", "different order", None),
        ("é" * 2049, "4,098 bytes", None),
        ("'\x00'", "NUL", None),
    ],
)
async def test_a_wrong_expression_is_told_where_and_why(evaluator, expression, words, position):
    checked = await evaluator.check(expression)
    assert not checked.ok
    assert words in checked.message
    assert checked.position == position
    await works(evaluator)


async def test_the_type_of_a_good_expression_is_known(evaluator):
    kinds = {
        "record.x": "DYN",
        "record.x == 1": "BOOL",
        "text(record.x)": "STRING",
        "[1].map(x, x)": "LIST<INT>",
        "record.?x": "optional_type<DYN>",
    }
    for expression, kind in kinds.items():
        assert (await evaluator.check(expression)).result_type == kind


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1 / 0", "divides by zero"),
        ("1 % int(record.b == '5' ? '0' : '1')", "divides by zero"),
        ("record.n + record.n", "too large"),
        ("-record.n - record.n", "too large"),
        ("int('9999999999999999999')", "not a whole number"),
        ("1.0 / 0.0", "not a finite number"),
        ("record.a.lowerAscii()", "an empty value (null). Use default"),
        ("record.a + 'x'", "an empty value (null) and text"),
        ("record.b + 1", "Use number(...)"),
        ("number('abc')", "not a number"),
        ("record.missing.deeper", "only a map has members"),
        ("source.missing", 'there is no "missing"'),
        ("record.?a", ".orValue"),
        ("record.a ? 1 : 2", "neither true nor false"),
        ("duration('1h')", "a duration"),
        ("b'x'", "bytes"),
        ("{1: 2}", "keys are not text"),
        ("type(1)", "not a plain value"),
        ("record.s.split('')", "16,000 items; at most 500"),
        ("'0123456789'.replace('', record.s)", "at most 65,536"),
        ("record.b.matches('[')", "missing ]"),
        ("this is not CEL", "the expression is not valid"),
        ("'a\\u0000b'", "NUL"),
    ],
)
async def test_errors_come_back_as_errors_and_never_as_values(evaluator, expression, words):
    before = evaluator.pids
    value, error = await one(evaluator, expression)
    assert value is None or "NUL" in words
    assert words in error
    assert evaluator.pids == before, "an ordinary error costs no process"


@pytest.mark.parametrize(
    "expression",
    [
        "record.l.map(a, record.l.map(b, record.l.map(c, a * b * c))).size()",
        "record.l.all(a, record.l.all(b, record.l.all(c, record.l.all(d, a + b + c + d >= 0))))",
        "record.l.map(a, record.l.map(b, record.s + 'x')).size()",
        "record.l.map(a, record.s.replace('a', record.s)).size()",
        SLOW,
        LARGE,
        LARGE + ".replace('a', record.s)",
        "record.l.map(a, record.l.map(b, record.s.replace('a', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'))).size()",
        "record.l.map(a, record.l).map(x, x.map(y, x.map(z, x))).size()",
        "'%s'.format([record.l.map(a, record.l.map(b, record.l))]).size()",
        "cel.bind(a, record.s + record.s, cel.bind(b, a.replace('a', a), b.replace('a', b))).size()",
        "record.s.split('').map(c, record.s).join(record.s).size()",
    ],
)
async def test_hostile_expressions_are_cut_off_and_the_next_one_works(evaluator, expression):
    value, error = await one(evaluator, expression)
    assert value is None
    assert any(words in error for words in ("500 ms", "512 MB", "too many list items", "items; at most"))
    await works(evaluator)


@pytest.mark.parametrize(
    "expression",
    ["record.s.matches('^(a+)+$x')", "record.s.matches('(a|a)*b')", "record.s.matches('(.*)*(.*)*(.*)*z')"],
)
async def test_regular_expressions_do_not_backtrack(evaluator, expression):
    assert await one(evaluator, expression) == (False, None)


async def test_memory_is_bounded_by_the_kernel(evaluator):
    """A list that holds 500 different texts of 1.6 MB each: quick to make, too large to keep."""
    text = "b" * 100
    _, error = await one(evaluator, f"record.l.map(a, record.s.replace('a', '{text}') + string(a)).size()")
    assert error in (messages.TOO_MUCH_MEMORY, messages.TOO_LONG)
    await works(evaluator)


async def test_only_the_guilty_records_of_a_batch_fail(evaluator):
    guilty = (3, 210, 211)
    records = [{**LONG, "s": LONG["s"] if index in guilty else f"a{index}"} for index in range(250)]
    results = await evaluator.evaluate(program(SLOW, "record.s"), records)
    failed = {index: result.error for index, result in enumerate(results) if result.error}
    assert failed == dict.fromkeys(guilty, messages.TOO_LONG)
    assert all(
        result.values == (True, f"a{index}") for index, result in enumerate(results) if index not in guilty
    )


async def test_a_recipe_that_is_slow_everywhere_is_given_up_soon(evaluator):
    results = await evaluator.evaluate(program(SLOW), [LONG] * 300)
    assert [result.error for result in results[:MAX_STOPPED]] == [messages.TOO_LONG] * MAX_STOPPED
    assert {result.error for result in results[MAX_STOPPED:]} == {messages.GIVEN_UP.format(count=MAX_STOPPED)}
    await works(evaluator)


async def test_a_guard_stops_its_record_only(evaluator):
    records = [{"s": "ok"}, {"s": "a\x00b"}, {"s": "x" * 20_000}, {"s": [0] * 501}, {"s": "fine"}]
    results = await evaluator.evaluate(program("record.s"), records)
    assert [result.values for result in results] == [("ok",), (), (), (), ("fine",)]
    for result, words in zip(results[1:4], ("NUL", "16 KB", "500"), strict=True):
        assert words in result.error


async def test_the_filter_decides_before_any_expression_runs(evaluator):
    filtered = program("record.b + '!'", SLOW, chosen="record.b == '6'")
    assert [result.kept for result in await evaluator.evaluate(filtered, [LONG])] == [False]
    for chosen, words in (
        ("record.b", "filter: the result is not"),
        ("record.a > 1", "filter: > does not work"),
    ):
        [result] = await evaluator.evaluate(program("1", chosen=chosen), [LONG])
        assert words in result.error


async def test_a_killed_child_is_replaced_and_nothing_is_lost(evaluator):
    await works(evaluator)
    [pid] = evaluator.pids
    os.kill(pid, signal.SIGKILL)
    results = await evaluator.evaluate(program("record.i * 2"), [{"i": index} for index in range(450)])
    assert [result.values for result in results] == [(index * 2,) for index in range(450)]
    assert evaluator.pids != [pid]
    [pid] = evaluator.pids
    os.kill(pid, signal.SIGKILL)
    assert (await evaluator.check("1 + 1")).ok


async def test_a_call_that_is_cancelled_leaves_no_answer_for_the_next(evaluator):
    call = asyncio.create_task(evaluator.evaluate(program(SLOW), [LONG] * 3))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await works(evaluator)


async def test_calls_at_once_share_the_children_and_keep_their_answers_apart():
    async with Evaluator(children=2) as evaluator:
        calls = [
            evaluator.evaluate(program(f"record.i + {add}"), [{"i": i} for i in range(50)])
            for add in range(20)
        ]
        for add, results in enumerate(await asyncio.gather(*calls)):
            assert [result.values for result in results] == [(i + add,) for i in range(50)]
        assert 1 <= len(evaluator.pids) <= 2


async def test_more_recipes_than_the_cache_holds(evaluator):
    for number in range(cel_worker.CACHED_PROGRAMS + 10):
        assert await one(evaluator, f"record.b + '{number}'") == (f"5{number}", None)
    await works(evaluator)


async def test_closing_ends_the_children():
    evaluator = Evaluator()
    await evaluator.start()
    [pid] = evaluator.pids
    await evaluator.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(EvaluatorUnavailableError):
        await evaluator.check("1")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_uvloop_runs_the_children_too():
    async def path():
        async with Evaluator() as evaluator:
            await test_the_child_has_no_environment_no_socket_and_little_memory(evaluator)
            await test_a_killed_child_is_replaced_and_nothing_is_lost(evaluator)
            await test_a_call_that_is_cancelled_leaves_no_answer_for_the_next(evaluator)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(path())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_child_has_no_environment_no_socket_and_little_memory(evaluator):
    await works(evaluator)
    [pid] = evaluator.pids
    process = Path(f"/proc/{pid}")
    assert [line for line in process.joinpath("environ").read_bytes().split(b"\0") if line] == []
    opened = [str(descriptor.readlink()) for descriptor in process.joinpath("fd").iterdir()]
    # asyncio and uvloop may make the two standard streams socket pairs; beyond those and /dev/null, nothing.
    assert len({name for name in opened if name != os.devnull}) == 2
    limits = process.joinpath("limits").read_text()
    assert f"Max address space         {cel_worker.MEMORY_BYTES}" in limits
    assert "Max core file size        0" in limits
    assert "Max file size             0" in limits


def ended(pid):
    """Gone, or a zombie whose exit code nobody has asked for yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


async def test_the_child_ends_when_its_parent_is_killed():
    code = (
        "import asyncio, os, signal\n"
        "from trunkline.recipes.evaluator import Evaluator\n"
        "async def main():\n"
        "    evaluator = Evaluator()\n"
        "    await evaluator.start()\n"
        "    print(evaluator.pids[0], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    pid = int(done.stdout)
    for _ in range(200):
        if ended(pid):
            return
        await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the child outlived its parent")


LIAR = """
import os, sys
read = sys.stdin.buffer.read
while (head := read(4)):
    read(int.from_bytes(head, "big"))
    os.write(1, bytes.fromhex(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "answer",
    [
        frame(Rows([])),
        frame(Rows([Row(kept=True, values=[1, 2], errors={}, error=None)])),
        frame(Rows([Row(kept=True, values=[1], errors={7: "x"}, error=None)])),
        frame(Rows([Row(kept=True, values=[1], errors={}, error=None)] * 3)),
        frame(cel_worker.Checked(ok=True, message="", result_type="")),
        (2**31).to_bytes(4, "big"),
        b"\x00\x00\x00\x04nope",
    ],
)
async def test_a_child_that_lies_is_not_believed(monkeypatch, tmp_path, answer):
    script = tmp_path / "liar.py"
    ready = frame(cel_worker.Ready(1)).hex()
    script.write_text(
        f"import os\nos.write(1, bytes.fromhex({ready!r}))\n"
        + LIAR.replace("sys.argv[1]", repr(answer.hex()))
    )
    monkeypatch.setattr("trunkline.recipes.evaluator._SCRIPT", str(script))
    async with Evaluator() as evaluator:
        [result] = await evaluator.evaluate(program("1"), [{}])
        assert result.values == ()
        assert "its answer" in result.error


async def test_a_child_that_cannot_start_is_our_problem_not_the_records(monkeypatch, tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit(3)")
    monkeypatch.setattr("trunkline.recipes.evaluator._SCRIPT", str(script))
    evaluator = Evaluator()
    with pytest.raises(EvaluatorUnavailableError, match="did not start"):
        await evaluator.evaluate(program("1"), [{}])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
DOCUMENT = st.dictionaries(
    st.sampled_from(["a", "b", "c", "properties", "x\x00"]) | TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=15,
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(DOCUMENT, max_size=4))
async def test_any_document_maps_or_fails_alone_and_the_child_lives(evaluator, documents):
    await evaluator.start()
    before = evaluator.pids
    whole = program(
        "record",
        "source",
        "record.a",
        "text(record.b)",
        "default(record.c, 'd')",
        "record.size() + source.size()",
    )
    results = await evaluator.evaluate(whole, documents)
    assert len(results) == len(documents)
    for document, result in zip(documents, results, strict=True):
        if result.values and not result.errors:
            assert result.values[1] == document
    assert evaluator.pids == before


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=st.text(alphabet="record.abs[]()'\"+-*/?:!&|{}<>=0123, \n", min_size=1, max_size=60))
async def test_any_text_as_an_expression_is_checked_and_run_without_harm(evaluator, expression):
    await evaluator.start()
    before = evaluator.pids
    checked = await evaluator.check(expression)
    assert checked.ok or checked.message
    await one(evaluator, expression, {"a": 1, "b": "x"})
    assert evaluator.pids == before
