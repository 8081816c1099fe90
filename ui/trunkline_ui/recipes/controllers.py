"""Everything of recipes that the composition root mounts."""

from trunkline_ui.recipes.pages import RecipePages
from trunkline_ui.recipes.wizard_pages import RecipeWizard

ROUTES = (RecipeWizard, RecipePages)
