"""What is worked out here is what CEL's own process gives, for whatever expression and record."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.document import lookup
from trunkline.recipes.evaluator import Evaluator
from trunkline.recipes.mapper import program_of
from trunkline.recipes.plain import NotPlainError, Plain, plain_of
from trunkline.recipes.results import Program

FIELDS = ("a", "b", "a b")
TEXTS = ("", "a", "B", "lead", " x ", "ä", "ß", "é\u0301", "1", "true", "null", "İ", "\x1f", "\u2003")


@pytest.fixture(scope="module")
async def cel():
    async with Evaluator() as running:
        yield running


async def by_cel(cel, program, documents):
    raw = [cel_guard(program, document) for document in documents]
    done, reason = await cel._run(program, raw, careful=False)
    assert reason is None
    return done


def cel_guard(program, document):
    from trunkline.recipes.guards import guard_of

    return guard_of(program).prepare(document)


def program(expression, chosen=None):
    mapping = Mapping("email", kind="expression", expression=expression)
    return program_of(RecipeDefinition(stream="s", model="m", mappings=(mapping,), filter=chosen))


leaves = st.sampled_from(
    ["record.a", "record.b", 'record["a b"]', "record['a']", "null", "true", "false"]
    + [f'"{text}"' for text in TEXTS]
    + ["'lead'"]
)


def wider(inner):
    two = st.tuples(inner, inner)
    return st.one_of(
        two.map(lambda e: f"{e[0]} + {e[1]}"),
        two.map(lambda e: f"{e[0]} == {e[1]}"),
        two.map(lambda e: f"{e[0]}!={e[1]}"),
        two.map(lambda e: f"{e[0]} && {e[1]}"),
        two.map(lambda e: f"{e[0]} || {e[1]}"),
        two.map(lambda e: f"default({e[0]}, {e[1]})"),
        two.map(lambda e: f"{e[0]}.contains({e[1]})"),
        two.map(lambda e: f"{e[0]}.startsWith({e[1]})"),
        two.map(lambda e: f"{e[0]}.endsWith( {e[1]} )"),
        st.tuples(inner, inner, inner).map(lambda e: f"{e[0]} ? {e[1]} : {e[2]}"),
        inner.map(lambda e: f"({e})"),
        inner.map(lambda e: f"!{e}"),
        inner.map(lambda e: f"text({e})"),
        inner.map(lambda e: f"{e}.upperAscii()"),
        inner.map(lambda e: f"{e}.lowerAscii()"),
        inner.map(lambda e: f'{e} in ["a", "lead", "B"]'),
    )


expressions = st.recursive(leaves, wider, max_leaves=8)
values = st.one_of(
    st.none(), st.booleans(), st.sampled_from(TEXTS), st.text(max_size=8).filter(lambda t: "\0" not in t)
)
documents = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), values).map(lambda own: {"id": "1", "properties": own}),
    min_size=1,
    max_size=12,
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expression=expressions, chosen=st.none() | expressions, documents=documents)
async def test_whatever_is_worked_out_here_is_what_cel_gives(cel, expression, chosen, documents) -> None:
    asked = program(expression, chosen)
    try:
        plain = Plain(asked)
    except NotPlainError:
        return
    ours = [plain.evaluate(lookup(document)) for document in documents]
    theirs = await by_cel(cel, asked, documents)
    for own, other, document in zip(ours, theirs, documents, strict=True):
        assert own is None or own == other, (expression, chosen, document)


@pytest.mark.parametrize(
    "expression",
    [
        'text(record.firstname) + " " + text(record.lastname)',
        'record.lifecyclestage != "subscriber"',
        "text(record.country).upperAscii()",
        'record.stage in ["lead", "customer"] ? "open" : "closed"',
        'default(record.phone, "none")',
        '!(record.email == null) && record.email.endsWith("@example.com")',
    ],
)
async def test_common_expressions_need_no_process(expression) -> None:
    evaluator = Evaluator()
    document = {"properties": {"email": "a@example.com", "country": "de", "stage": "lead", "lastname": "B"}}
    found = await evaluator.evaluate(program(expression), [document])
    assert found[0].error is None
    assert not found[0].errors
    assert evaluator.pids == []


@pytest.mark.parametrize(
    "expression",
    [
        "record.in",
        "record",
        "record.a.b",
        "record.a()",
        "source.a",
        "record.a > 1",
        '"a" + true',
        'text(record.a) ? "b" : "c"',
        'record.a == "b" == true',
        '"\\n" + record.a',
        'r"a" + record.a',
        '"""a""" + record.a',
        "record.a // comment",
        "[record.a]",
        "record.a.matches('a*')",
        "(" * 60 + "record.a" + ")" * 60,
        'record.a ? "b" : null',
        "has(record.a)",
        "record['a'].b",
        "record.?a",
        "",
    ],
)
def test_the_rest_is_left_to_cel(expression) -> None:
    assert plain_of(Program(b"", (expression,))) is None


@pytest.mark.parametrize("value", [1, 1.5, [], {}, "x" * 5000, "a\0b"])
def test_so_are_values_of_other_kinds(value) -> None:
    plain = plain_of(Program(b"", ("text(record.a)",)))
    assert plain is not None
    assert plain.evaluate({"a": value}.get) is None
    assert plain.evaluate({"a": "b"}.get) is not None


def test_an_error_is_left_to_cel_for_its_words() -> None:
    plain = plain_of(Program(b"", ('record.a + "b"',)))
    assert plain is not None
    assert plain.evaluate(lookup({"a": None})) is None
