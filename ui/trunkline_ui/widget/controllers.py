"""Everything of the widget that the composition root mounts, at the root of the web application."""

from trunkline_ui.widget.assets import loader, widget_file
from trunkline_ui.widget.callback import oauth_callback
from trunkline_ui.widget.form import FormPages
from trunkline_ui.widget.frame import FrameController

ROUTES = (loader, widget_file, FrameController, FormPages, oauth_callback)
