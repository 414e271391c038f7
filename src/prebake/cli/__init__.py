"""The command line: each verb parses its options, makes one call and prints what came of it. No logic lives here.

:mod:`~prebake.cli.command_line` lists the verbs; they stand in a module for each kind, and import at their call what
they need, so that ``--help`` loads neither torch nor HDF5.
"""

from prebake.cli.command_line import app, main

__all__ = ["app", "main"]
