"""Which of a provider's fields a recipe reads, so that a sync asks for them."""

from trunkline.recipes.definition import RecipeDefinition
from trunkline.recipes.expression import references, source_fields


def fields_used(definition: RecipeDefinition) -> frozenset[str]:
    """Names in `record`, and those that expressions reach by `source.properties`."""
    names = {mapping.source for mapping in definition.mappings if mapping.kind == "field"}
    texts = [mapping.expression for mapping in definition.mappings if mapping.kind == "expression"]
    for text in (*texts, definition.filter or ""):
        names |= references(text).record | source_fields(text)
    return frozenset(names - {""})
