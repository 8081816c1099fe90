import sys
from typing import Any

import click

from trunkline.kernel.embedded import EmbeddedError
from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.settings import SettingsError


class Failure(click.ClickException):
    """One sentence on standard error, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {self.message}", file=file or sys.stderr)


class SentenceGroup(click.Group):
    """Expected failures end in their sentence; anything else stays a traceback, as it is a bug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (EmbeddedError, SettingsError, TrunklineError) as error:
            raise Failure(str(error)) from error
