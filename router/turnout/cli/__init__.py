"""The `turnout` command."""

import sys


def main() -> None:
    """Runs the command; says what to install if its extra is missing."""
    try:
        from turnout.cli.app import app  # noqa: PLC0415 (typer and rich come with the extra)
    except ModuleNotFoundError as missing:
        sys.exit(f"the turnout command needs {missing.name}: pip install 'turnout[cli]'")
    app()
