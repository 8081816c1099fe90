"""Object types, properties and scopes of the simulated HubSpot accounts."""

from typing import Literal

import msgspec

from trunkline.sdk.simulator import ObjectType

PropertyType = Literal["string", "number", "date", "datetime", "enumeration", "bool"]

CONTACTS, COMPANIES, DEALS, TICKETS, NOTES = "contacts", "companies", "deals", "tickets", "notes"

OBJECT_TYPES = (
    ObjectType(CONTACTS, "Contact", "Contacts"),
    ObjectType(COMPANIES, "Company", "Companies"),
    ObjectType(DEALS, "Deal", "Deals"),
    ObjectType(TICKETS, "Ticket", "Tickets"),
)

ALIASES = {
    **{kind.name: kind.name for kind in OBJECT_TYPES},
    **{kind.singular.lower(): kind.name for kind in OBJECT_TYPES},
    "0-1": CONTACTS,
    "0-2": COMPANIES,
    "0-3": DEALS,
    "0-5": TICKETS,
    "notes": NOTES,
    "0-46": NOTES,
}
"""Names in paths, object type ids included (only 0-3 is in the published routes)."""

SCOPES = {
    "oauth": "Know which account this is and who connected it",
    "crm.objects.contacts.read": "See your contacts",
    "crm.objects.contacts.write": "Create, change and archive contacts",
    "crm.objects.companies.read": "See your companies",
    "crm.objects.companies.write": "Create, change and archive companies",
    "crm.objects.deals.read": "See your deals",
    "crm.objects.deals.write": "Create, change and archive deals",
    "crm.objects.owners.read": "See the people in your account who own records",
    "crm.schemas.contacts.read": "See which fields your contacts have",
    "crm.schemas.companies.read": "See which fields your companies have",
    "crm.schemas.deals.read": "See which fields your deals have",
    "tickets": "See, create, change and archive support tickets",
}


class PropertyDef(msgspec.Struct, frozen=True):
    name: str
    label: str
    type: PropertyType = "string"
    field_type: str = "text"
    description: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """(value, label) of an enumeration."""
    read_only: bool = False
    custom: bool = False
    searchable: bool = False
    """Looked at by a search's `query`."""


def _text(name: str, label: str, description: str = "", *, searchable: bool = False) -> PropertyDef:
    return PropertyDef(name, label, description=description, searchable=searchable)


def _long(name: str, label: str) -> PropertyDef:
    return PropertyDef(name, label, field_type="textarea")


def _number(name: str, label: str, description: str = "") -> PropertyDef:
    return PropertyDef(name, label, "number", "number", description)


def _choice(name: str, label: str, **options: str) -> PropertyDef:
    return PropertyDef(name, label, "enumeration", "select", options=tuple(options.items()))


def _system(modified: str) -> tuple[PropertyDef, ...]:
    return (
        PropertyDef("hs_object_id", "Record ID", "number", "number", "Set by HubSpot.", read_only=True),
        PropertyDef("createdate", "Create Date", "datetime", "date", "Set by HubSpot.", read_only=True),
        PropertyDef(modified, "Last Modified Date", "datetime", "date", "Set by HubSpot.", read_only=True),
    )


_YES_NO = (("true", "Yes"), ("false", "No"))
_STAGES = _choice(
    "lifecyclestage",
    "Lifecycle Stage",
    subscriber="Subscriber",
    lead="Lead",
    opportunity="Opportunity",
    customer="Customer",
    evangelist="Evangelist",
    other="Other",
)

MODIFIED = {
    CONTACTS: "lastmodifieddate",
    COMPANIES: "hs_lastmodifieddate",
    DEALS: "hs_lastmodifieddate",
    TICKETS: "hs_lastmodifieddate",
    NOTES: "hs_lastmodifieddate",
}
"""The property that holds the time of the last change."""

DEFAULTS = {
    CONTACTS: ("email", "firstname", "lastname"),
    COMPANIES: ("domain", "name"),
    DEALS: ("amount", "closedate", "dealname", "dealstage", "pipeline"),
    TICKETS: (
        "content",
        "hs_pipeline",
        "hs_pipeline_stage",
        "hs_ticket_category",
        "hs_ticket_priority",
        "subject",
    ),
    NOTES: ("hs_note_body", "hs_timestamp"),
}
"""What comes back without `properties`, besides the system ones (recorded for companies and tickets)."""

_ALL: dict[str, tuple[PropertyDef, ...]] = {
    CONTACTS: (
        *_system("lastmodifieddate"),
        _text("email", "Email", "Unique among contacts.", searchable=True),
        _text("firstname", "First Name", searchable=True),
        _text("lastname", "Last Name", searchable=True),
        PropertyDef("phone", "Phone Number", "string", "phonenumber", searchable=True),
        PropertyDef("mobilephone", "Mobile Phone Number", "string", "phonenumber"),
        _text("jobtitle", "Job Title"),
        _text("company", "Company Name", "As typed by the person.", searchable=True),
        _text("website", "Website URL"),
        _text("address", "Street Address"),
        _text("city", "City"),
        _text("zip", "Postal Code"),
        _text("country", "Country/Region"),
        _text("annualrevenue", "Annual Revenue", "Free text."),
        _text("date_of_birth", "Date of birth", "Free text."),
        _STAGES,
        _choice(
            "hs_lead_status",
            "Lead Status",
            NEW="New",
            OPEN="Open",
            IN_PROGRESS="In progress",
            UNQUALIFIED="Unqualified",
        ),
        PropertyDef(
            "hs_email_optout", "Unsubscribed from all email", "bool", "booleancheckbox", options=_YES_NO
        ),
        _number("hubspotscore", "HubSpot Score"),
        _number("associatedcompanyid", "Primary Associated Company ID"),
        _long("message", "Message"),
        PropertyDef("customer_since", "Customer since", "date", "date", custom=True),
        PropertyDef("newsletter", "Newsletter", "bool", "booleancheckbox", options=_YES_NO, custom=True),
        PropertyDef(
            "favourite_plan",
            "Favourite plan",
            "enumeration",
            "radio",
            options=(("free", "Free"), ("team", "Team"), ("business", "Business")),
            custom=True,
        ),
    ),
    COMPANIES: (
        *_system("hs_lastmodifieddate"),
        _text("name", "Company name", searchable=True),
        _text("domain", "Company Domain Name", searchable=True),
        _choice(
            "industry",
            "Industry",
            COMPUTER_SOFTWARE="Computer Software",
            RETAIL="Retail",
            LOGISTICS_AND_SUPPLY_CHAIN="Logistics and Supply Chain",
            HOSPITAL_HEALTH_CARE="Hospital & Health Care",
            FOOD_BEVERAGES="Food & Beverages",
        ),
        PropertyDef("phone", "Phone Number", "string", "phonenumber", searchable=True),
        _text("city", "City"),
        _text("zip", "Postal Code"),
        _text("country", "Country/Region"),
        _number("numberofemployees", "Number of Employees"),
        _number("annualrevenue", "Annual Revenue"),
        _text("founded_year", "Year Founded", "Free text."),
        _long("description", "Description"),
        _STAGES,
    ),
    DEALS: (
        *_system("hs_lastmodifieddate"),
        _text("dealname", "Deal Name", searchable=True),
        _number("amount", "Amount", "In the deal's currency."),
        _choice("deal_currency_code", "Currency", EUR="Euro", USD="US Dollar", GBP="Pound", JPY="Yen"),
        PropertyDef("closedate", "Close Date", "datetime", "date"),
        _text("hubspot_owner_id", "Deal owner", "Id of a person in the account."),
        _choice("pipeline", "Pipeline", default="Sales Pipeline", renewals="Renewals"),
        _choice(
            "dealstage",
            "Deal Stage",
            appointmentscheduled="Appointment scheduled",
            qualifiedtobuy="Qualified to buy",
            contractsent="Contract sent",
            closedwon="Closed won",
            closedlost="Closed lost",
        ),
        _choice("dealtype", "Deal Type", newbusiness="New Business", existingbusiness="Existing Business"),
        _choice("hs_priority", "Priority", low="Low", medium="Medium", high="High"),
        _long("description", "Deal Description"),
    ),
    TICKETS: (
        *_system("hs_lastmodifieddate"),
        _text("subject", "Ticket name", searchable=True),
        _long("content", "Ticket description"),
        PropertyDef("hs_pipeline", "Pipeline", "enumeration", "select", options=(("0", "Support Pipeline"),)),
        PropertyDef(
            "hs_pipeline_stage",
            "Ticket status",
            "enumeration",
            "select",
            options=(("1", "New"), ("2", "Waiting on contact"), ("3", "Waiting on us"), ("4", "Closed")),
        ),
        _choice("hs_ticket_priority", "Priority", LOW="Low", MEDIUM="Medium", HIGH="High", URGENT="Urgent"),
        _choice(
            "hs_ticket_category",
            "Category",
            PRODUCT_ISSUE="Product issue",
            BILLING_ISSUE="Billing issue",
            FEATURE_REQUEST="Feature request",
            GENERAL_INQUIRY="General inquiry",
        ),
        _choice("source_type", "Source", CHAT="Chat", EMAIL="Email", FORM="Form", PHONE="Phone"),
        PropertyDef("closed_date", "Close date", "datetime", "date", read_only=True),
        _text("hubspot_owner_id", "Ticket owner", "Id of a person in the account."),
    ),
    NOTES: (
        *_system("hs_lastmodifieddate"),
        _long("hs_note_body", "Note body"),
        PropertyDef("hs_timestamp", "Activity date", "datetime", "date"),
        _text("hubspot_owner_id", "Owner", "Id of a person in the account."),
    ),
}

PROPERTIES: dict[str, dict[str, PropertyDef]] = {
    kind: {definition.name: definition for definition in definitions} for kind, definitions in _ALL.items()
}


def always(kind: str) -> tuple[str, ...]:
    """Properties that come back whatever was asked for."""
    return ("createdate", "hs_object_id", MODIFIED[kind])


def read_scopes(kind: str) -> tuple[str, ...]:
    if kind == NOTES:
        return ("crm.objects.contacts.read",)
    return ("tickets",) if kind == TICKETS else (f"crm.objects.{kind}.read",)


def write_scopes(kind: str) -> tuple[str, ...]:
    if kind == NOTES:
        return ("crm.objects.contacts.write",)
    return ("tickets",) if kind == TICKETS else (f"crm.objects.{kind}.write",)


def schema_scopes(kind: str) -> tuple[str, ...]:
    """Any one of these opens the property definitions."""
    return ("tickets",) if kind == TICKETS else (f"crm.schemas.{kind}.read", *read_scopes(kind))


def describe(kind: str, definition: PropertyDef, order: int) -> dict[str, object]:
    """A property definition as the API gives it."""
    singular = kind[:-3] + "y" if kind == COMPANIES else kind[:-1]
    return {
        "name": definition.name,
        "label": definition.label,
        "type": definition.type,
        "fieldType": definition.field_type,
        "description": definition.description,
        "groupName": f"{singular}information",
        "options": [
            {"label": label, "value": value, "description": "", "displayOrder": number, "hidden": False}
            for number, (value, label) in enumerate(definition.options)
        ],
        "displayOrder": order,
        "calculated": False,
        "externalOptions": False,
        "hasUniqueValue": definition.name == "email",
        "hidden": False,
        "hubspotDefined": not definition.custom,
        "formField": not definition.read_only,
        "archived": False,
        "createdAt": "2019-08-06T02:41:08.029Z",
        "updatedAt": "2024-03-11T09:12:44.512Z",
        "modificationMetadata": {
            "archivable": definition.custom,
            "readOnlyDefinition": not definition.custom,
            "readOnlyOptions": not definition.custom,
            "readOnlyValue": definition.read_only,
        },
    }
