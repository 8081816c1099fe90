"""Ids that look like the providers' lead back to the store's; queries of any kind are answered or refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_ids import BASE36, BASE62, HEX, number_of, opaque
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.intercom.simulator_schema import ADMINS, CONTACTS
from trunkline_connectors.intercom.simulator_schema import OBJECT_TYPES as INTERCOM_TYPES
from trunkline_connectors.intercom.simulator_search import FIELDS
from trunkline_connectors.intercom.simulator_search import compiled as intercom_compiled
from trunkline_connectors.intercom.simulator_shapes import own_id as intercom_own
from trunkline_connectors.intercom.simulator_shapes import public_id as intercom_public
from trunkline_connectors.salesforce.simulator_schema import PREFIXES, long_id
from trunkline_connectors.salesforce.simulator_schema import own_id as salesforce_own
from trunkline_connectors.salesforce.simulator_schema import public_id as salesforce_public
from trunkline_connectors.salesforce.simulator_soql import parsed
from trunkline_connectors.stripe.simulator_forms import nested
from trunkline_connectors.stripe.simulator_schema import KINDS
from trunkline_connectors.stripe.simulator_search import compiled as stripe_compiled
from trunkline_connectors.stripe.simulator_shapes import own_id as stripe_own
from trunkline_connectors.stripe.simulator_shapes import public_id as stripe_public

NUMBERS = st.integers(0, 10**12)
SOQL = st.lists(
    st.sampled_from(
        [
            "SELECT",
            "Id",
            ",",
            "Name",
            "COUNT()",
            "FROM",
            "Contact",
            "WHERE",
            "(",
            ")",
            "=",
            "!=",
            "IN",
            "LIKE",
            "NOT",
            "AND",
            "OR",
            "ORDER BY",
            "LIMIT",
            "10",
            "'x'",
            "'",
            "null",
            "true",
            "2026-01-01T00:00:00Z",
            "SystemModstamp",
            ">=",
            "IsDeleted",
            "\\",
            "FIELDS(ALL)",
            "\x00",
            "é",
        ]
    ),
    max_size=25,
).map(" ".join)


def tried(call, *given):
    """What comes of it, or the status it is refused with."""
    try:
        return call(*given)
    except RefusedError as error:
        return error.reply.status


@given(NUMBERS, st.sampled_from([(12, BASE62), (14, BASE36), (24, HEX)]))
def test_an_opaque_id_leads_back(number, form):
    size, alphabet = form
    text = opaque(number, size, alphabet)
    assert len(text) == size
    assert number_of(text, size, alphabet) == number


@given(NUMBERS, NUMBERS)
def test_different_numbers_have_different_ids(first, second):
    assert (opaque(first, 12) == opaque(second, 12)) == (first == second)


@given(NUMBERS)
def test_every_providers_ids_lead_back(number):
    own = str(number)
    assert all(stripe_own(kind, stripe_public(kind, own)) == own for kind in KINDS)
    assert all(intercom_own(kind.name, intercom_public(kind.name, own)) == own for kind in INTERCOM_TYPES)
    for kind in PREFIXES:
        public = salesforce_public(kind, own)
        assert salesforce_own(kind, public) == salesforce_own(kind, public[:15]) == own
        assert len(public) == 18


@given(st.text(max_size=40))
def test_other_text_is_no_id(text):
    for found in (
        stripe_own("customers", text),
        intercom_own(CONTACTS, text),
        salesforce_own("contacts", text),
    ):
        assert found.isdecimal()
    assert intercom_own(ADMINS, "x" + text) == "0"


def test_the_long_form_of_an_id():
    # from the vendor's own documents
    assert long_id("001D000000IqhSL") == "001D000000IqhSLIAZ"


@given(st.one_of(st.text(max_size=200), SOQL))
def test_soql_of_any_kind_is_read_or_refused(text):
    query = tried(parsed, text)
    assert query == 400 or query.test({"Id": "003", "IsDeleted": False, "Name": None}) in {True, False}


def test_soql_that_is_too_deep_is_refused():
    with pytest.raises(RefusedError):
        parsed("SELECT Id FROM Contact WHERE " + "(" * 5000 + "Id = 'x'" + ")" * 5000)
    with pytest.raises(RefusedError):
        parsed("SELECT Id FROM Contact WHERE " + "NOT " * 4000 + "Id = 'x'")


@given(st.one_of(st.text(max_size=120), st.text(alphabet="email:'x\"-><=AND OR metadata[]~\\0", max_size=60)))
def test_stripes_search_of_any_kind_is_read_or_refused(text):
    document = {"email": "x", "metadata": {}, "created": 1, "name": None, "phone": None}
    test = tried(stripe_compiled, text, KINDS["customers"].searched)
    assert test == 400 or test(document) in {True, False}


@given(st.lists(st.tuples(st.text(alphabet="ab[]01", max_size=12), st.text(max_size=5)), max_size=12))
def test_forms_of_any_kind_are_read_or_refused(pairs):
    found = tried(nested, pairs)
    assert found == 400 or isinstance(found, dict)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.fixed_dictionaries(
            {
                "field": st.sampled_from([*sorted(FIELDS[CONTACTS]), "custom_attributes.x", "nope"]),
                "operator": st.sampled_from(
                    ["=", "!=", "IN", "NIN", "<", ">", "~", "^", "$", "AND", "OR", "?"]
                ),
                "value": inner,
            }
        ),
    ),
    max_leaves=12,
)


@given(JSON)
@example({"field": "updated_at", "operator": ">", "value": 10**30})
@example({"field": "updated_at", "operator": ">", "value": 10**400})
@example({"field": "updated_at", "operator": "<", "value": "nan"})
def test_intercoms_search_of_any_kind_is_read_or_refused(query):
    document = {"updated_at": 10, "created_at": None, "email": "x@y", "custom_attributes": {}}
    test = tried(intercom_compiled, CONTACTS, query, "Europe/Dublin")
    assert test == 400 or tried(test, document) in {True, False, 400}


ORGANISATIONS = {
    "hubspot": "companies",
    "salesforce": "accounts",
    "pipedrive": "organizations",
    "zendesk": "organizations",
    "intercom": "companies",
    "freshdesk": "companies",
    "stripe": "customers",
}
CANONICAL = {"account", "contact", "deal", "ticket", "user", "subscription", "invoice", "payment", "comment"}


def test_organisations_are_accounts_wherever_they_come_from() -> None:
    known = {one.name: one for one in manifests()}
    assert set(known) == set(ORGANISATIONS)
    for name, stream in ORGANISATIONS.items():
        assert {one.model for one in known[name].recipes if one.stream == stream} == {"account"}, name
        assert {one.model for one in known[name].recipes} <= CANONICAL
        targets = {one.target for recipe in known[name].recipes for one in recipe.all_mappings}
        assert "company_id" not in targets
