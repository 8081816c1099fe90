"""Objects and fields of the simulated Salesforce orgs, and their ids."""

from typing import Literal

import msgspec

from trunkline.sdk.simulator import ObjectType
from trunkline.sdk.simulator_ids import number_of, opaque

ACCOUNT, CONTACT, OPPORTUNITY, USER, TASK = "accounts", "contacts", "opportunities", "users", "tasks"
SOBJECTS = {
    ACCOUNT: "Account",
    CONTACT: "Contact",
    OPPORTUNITY: "Opportunity",
    USER: "User",
    TASK: "Task",
}
"""What the API calls them."""
OBJECT_TYPES = (
    ObjectType(ACCOUNT, "Account", "Accounts"),
    ObjectType(CONTACT, "Contact", "Contacts"),
    ObjectType(OPPORTUNITY, "Opportunity", "Opportunities"),
    ObjectType(USER, "User", "Users"),
    ObjectType(TASK, "Task", "Tasks"),
)
PREFIXES = {ACCOUNT: "001", CONTACT: "003", OPPORTUNITY: "006", USER: "005", TASK: "00T"}
SCOPES = {
    "api": "Use the APIs as you: see and change what your profile allows",
    "refresh_token": "Stay connected when you are away",
    "id": "Know who you are and which org this is",
    "openid": "Sign you in",
}
OLDEST, RETIRED, CURRENT = 21, 30, 68
"""Version numbers: 21 to 30 answer 410, above them up to the current one all answer."""

FieldType = Literal[
    "id", "string", "textarea", "email", "phone", "url", "int", "double", "currency", "boolean", "date",
    "datetime", "picklist", "reference",
]  # fmt: skip


class FieldDef(msgspec.Struct, frozen=True):
    name: str
    label: str
    type: FieldType = "string"
    options: tuple[str, ...] = ()
    read_only: bool = False
    required: bool = False
    external: bool = False
    """Marked as an external id: records can be found and upserted by it."""

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")


def _f(name: str, label: str, kind: FieldType = "string", *options: str, required: bool = False) -> FieldDef:
    return FieldDef(name, label, kind, options, required=required)


_SYSTEM = (
    FieldDef("Id", "Record ID", "id", read_only=True),
    FieldDef("IsDeleted", "Deleted", "boolean", read_only=True),
    FieldDef("CreatedDate", "Created Date", "datetime", read_only=True),
    FieldDef("LastModifiedDate", "Last Modified Date", "datetime", read_only=True),
    FieldDef("SystemModstamp", "System Modstamp", "datetime", read_only=True),
)
_OWNER = _f("OwnerId", "Owner ID", "reference")
_EXTERNAL = FieldDef("External_Id__c", "External Id", external=True)
STAGES = ("Prospecting", "Qualification", "Proposal/Price Quote", "Closed Won", "Closed Lost")
_ALL = {
    ACCOUNT: (
        _f("Name", "Account Name", required=True),
        _f("Type", "Account Type", "picklist", "Prospect", "Customer - Direct", "Other"),
        _f("Industry", "Industry", "picklist", "Retail", "Technology", "Food & Beverage"),
        _f("Phone", "Account Phone", "phone"),
        _f("Website", "Website", "url"),
        _f("BillingCity", "Billing City"),
        _f("BillingCountry", "Billing Country"),
        _f("NumberOfEmployees", "Employees", "int"),
        _f("AnnualRevenue", "Annual Revenue", "currency"),
        _f("Description", "Account Description", "textarea"),
        _OWNER,
        _EXTERNAL,
    ),
    CONTACT: (
        _f("FirstName", "First Name"),
        _f("LastName", "Last Name", required=True),
        FieldDef("Name", "Full Name", read_only=True),
        _f("Email", "Email", "email"),
        _f("Phone", "Business Phone", "phone"),
        _f("MobilePhone", "Mobile Phone", "phone"),
        _f("Title", "Title"),
        _f("AccountId", "Account ID", "reference"),
        _f("MailingCity", "Mailing City"),
        _f("MailingCountry", "Mailing Country"),
        _f("LeadSource", "Lead Source", "picklist", "Web", "Partner Referral", "Other"),
        _f("Plan__c", "Plan", "picklist", "Free", "Team", "Business"),
        _OWNER,
        _EXTERNAL,
    ),
    OPPORTUNITY: (
        _f("Name", "Name", required=True),
        _f("AccountId", "Account ID", "reference"),
        _f("Amount", "Amount", "currency"),
        _f("StageName", "Stage", "picklist", *STAGES, required=True),
        _f("CloseDate", "Close Date", "date", required=True),
        _f("Probability", "Probability (%)", "double"),
        _f("Type", "Opportunity Type", "picklist", "New Customer", "Existing Customer - Upgrade"),
        FieldDef("IsClosed", "Closed", "boolean", read_only=True),
        FieldDef("IsWon", "Won", "boolean", read_only=True),
        _f("Description", "Description", "textarea"),
        _OWNER,
    ),
    USER: (
        _f("FirstName", "First Name"),
        _f("LastName", "Last Name", required=True),
        FieldDef("Name", "Full Name", read_only=True),
        _f("Email", "Email", "email", required=True),
        _f("Username", "Username", required=True),
        _f("Title", "Title"),
        _f("IsActive", "Active", "boolean"),
    ),
    TASK: (
        _f("Subject", "Subject"),
        _f("Description", "Description", "textarea"),
        _f("Status", "Status", "picklist", "Not Started", "Completed"),
        _f("WhoId", "Name ID", "reference"),
        _f("WhatId", "Related To ID", "reference"),
        _OWNER,
    ),
}
FIELDS = {kind: {field.name: field for field in (*_SYSTEM, *own)} for kind, own in _ALL.items()}
_SUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def long_id(short: str) -> str:
    """The 18 characters of a 15 character id: three more say which letters are capitals."""
    extra = "".join(
        _SUM[sum(1 << place for place, sign in enumerate(short[start : start + 5]) if "A" <= sign <= "Z")]
        for start in (0, 5, 10)
    )
    return short + extra


def public_id(kind: str, object_id: str) -> str:
    return long_id(PREFIXES[kind] + opaque(int(object_id), 12))


def own_id(kind: str, text: str) -> str:
    """Of both forms; of what is no id of this kind: "0", which no object has."""
    short = text[:15]
    number = number_of(short[3:], 12) if text in {short, long_id(short)} and len(short) == 15 else None
    return str(number) if number is not None and short.startswith(PREFIXES[kind]) else "0"


def kind_of(name: str) -> str | None:
    return next((kind for kind, known in SOBJECTS.items() if known.lower() == name.lower()), None)


def describe(kind: str) -> dict[str, object]:
    name = SOBJECTS[kind]
    return {
        "name": name,
        "label": name,
        "labelPlural": next(one.plural for one in OBJECT_TYPES if one.name == kind),
        "keyPrefix": PREFIXES[kind],
        "queryable": True,
        "updateable": True,
        "urls": {"sobject": f"/services/data/v{CURRENT}.0/sobjects/{name}"},
        "fields": [
            {
                "name": field.name,
                "label": field.label,
                "type": field.type,
                "custom": field.custom,
                "externalId": field.external,
                "unique": field.external,
                "nillable": not field.required,
                "createable": not field.read_only,
                "updateable": not field.read_only,
                "picklistValues": [
                    {"active": True, "defaultValue": False, "label": value, "value": value}
                    for value in field.options
                ],
            }
            for field in FIELDS[kind].values()
        ],
    }
