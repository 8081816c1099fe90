"""Every page of the user interface, for the composition root to mount."""

from collections.abc import Sequence
from typing import Any

from trunkline_ui import gallery
from trunkline_ui.account.pages import AccountPages
from trunkline_ui.account.second_factor import SecondFactorPages
from trunkline_ui.assets import static_file
from trunkline_ui.auth import AuthPages
from trunkline_ui.auth_steps import StepPages
from trunkline_ui.console.routes import CONSOLE
from trunkline_ui.portal.routes import PORTAL
from trunkline_ui.recipes.controllers import ROUTES as RECIPES
from trunkline_ui.theme import choose_theme
from trunkline_ui.widget.assets import loader, widget_file
from trunkline_ui.widget.callback import oauth_callback
from trunkline_ui.widget.form import FormPages
from trunkline_ui.widget.frame import FrameController


def handlers(*, development: bool) -> Sequence[Any]:
    """`development` adds the gallery of components."""
    return [
        static_file,
        choose_theme,
        AuthPages,
        StepPages,
        AccountPages,
        SecondFactorPages,
        loader,
        widget_file,
        FrameController,
        FormPages,
        oauth_callback,
        *PORTAL,
        *RECIPES,
        *CONSOLE,
        *(gallery.HANDLERS if development else ()),
    ]
