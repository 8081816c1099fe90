"""What to fill in before anybody has chosen: the connector's own suggestion first, then likeness of names."""

import difflib
import re
from collections.abc import Sequence

from trunkline.recipes.definition import SourceField
from trunkline.recipes.service import definition_of
from trunkline.recipes.target import TargetField, TargetModel
from trunkline.sdk.manifest import Manifest
from trunkline_ui.recipes.draft import Row, written

ALIKE = 0.86  # of difflib; below it "city" and "state" become friends of strangers

# What providers call the same thing. Keys and values are names without case and punctuation.
_SAME = {
    "createdat": {"createdate", "created", "createdtime", "creationdate", "datecreated"},
    "updatedat": {"lastmodifieddate", "hslastmodifieddate", "modifieddate", "updated", "lastmodified"},
    "closedat": {"closeddate", "closedtime"},
    "postalcode": {"zip", "zipcode", "postcode"},
    "mobilephone": {"mobile", "cellphone", "mobilephonenumber"},
    "phone": {"phonenumber", "telephone"},
    "jobtitle": {"title", "position"},
    "companyname": {"company", "organization", "organisation"},
    "ownerid": {"hubspotownerid", "owner"},
    "leadstatus": {"hsleadstatus"},
    "street": {"address", "streetaddress", "address1"},
    "state": {"region", "province"},
    "website": {"url", "websiteurl"},
    "language": {"hslanguage", "locale"},
    "domain": {"websitedomain"},
    "employees": {"numberofemployees", "employeecount"},
    "stage": {"dealstage", "hspipelinestage"},
    "name": {"dealname", "companyname"},
    "currency": {"dealcurrencycode", "currencycode"},
    "priority": {"hsticketpriority", "hspriority"},
    "description": {"content", "body"},
    "notes": {"note", "comments"},
}
_FITS = {
    "boolean": {"boolean", "enum"},
    "integer": {"number", "integer"},
    "number": {"number", "integer"},
    "datetime": {"datetime", "date"},
    "date": {"date", "datetime"},
}
_DATED = {"datetime", "date"}


def suggest_model(manifest: Manifest, stream: str, models: Sequence[str]) -> str:
    """The model that the connector uses for the stream, else the one whose name is most like it."""
    for recipe in manifest.recipes:
        if recipe.stream == stream and recipe.model in models:
            return recipe.model
    near = difflib.get_close_matches(stream, models, n=1, cutoff=0.5)
    return near[0] if near else (models[0] if models else "")


def suggest_rows(
    manifest: Manifest, stream: str, model: TargetModel, fields: Sequence[SourceField]
) -> tuple[Row, ...]:
    rows: dict[str, Row] = {}
    for recipe in manifest.recipes:
        if (recipe.stream, recipe.model) == (stream, model.name):
            for mapping in definition_of(recipe).mappings:
                if model.field(mapping.target) is not None:
                    rows.setdefault(
                        mapping.target,
                        Row(
                            mapping.target,
                            mapping.kind,
                            mapping.source,
                            mapping.expression,
                            written(mapping.constant),
                            written(mapping.default),
                        ),
                    )
    used = {row.source for row in rows.values() if row.kind == "field"}
    for target in model.fields:
        if target.name not in rows:
            found = best(target, [field for field in fields if field.name not in used])
            if found is not None:
                rows[target.name] = Row(target.name, "field", found.name)
                used.add(found.name)
    return tuple(rows[field.name] for field in model.fields if field.name in rows)


def best(target: TargetField, fields: Sequence[SourceField]) -> SourceField | None:
    """The field that surely means the same, or None: a wrong guess costs more than an empty row."""
    if target.type == "json":
        return None
    fitting = [field for field in fields if field.name != "id" and _fits(target, field)]
    names, labels = {bare(target.name), bare(target.label)}, bare(target.label)
    same = set().union(*(_SAME.get(name, set()) for name in names))
    for accepted in ({bare(target.name)}, {labels}, same):
        for field in fitting:
            if bare(field.name) in accepted or bare(field.label) in accepted:
                return field
    scored = [(_likeness(bare(target.name), bare(field.name)), field) for field in fitting]
    likest = max(scored, key=lambda pair: pair[0], default=None)
    return likest[1] if likest and likest[0] >= ALIKE else None


def bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio() if len(one) > 3 and len(other) > 3 else 0.0


def _fits(target: TargetField, field: SourceField) -> bool:
    if target.type in _FITS:
        return field.type in _FITS[target.type]
    return field.type not in _DATED and field.type != "json"
