"""What assistive technology hears of the components for actions."""

import re

from trunkline_ui.rendering import create_environment

UI = create_environment().globals["ui"]


def test_a_name_given_to_an_action_is_its_buttons():
    shown = UI.action_form("Use this", "/go", "token", attrs={"aria-label": "Use this recipe: Deals"})
    assert re.findall(r'<(\w+)[^>]*aria-label="Use this recipe: Deals"', shown) == ["button"]
