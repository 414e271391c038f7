"""``python -m prebake`` is the command ``prebake``; it listens to signals before it loads anything that takes long."""

import sys

from prebake.interrupts import run_until_told

__all__ = ["main"]


def main() -> int:
    """Run the command line of this process; return the exit code."""
    return run_until_told(_run)


def _run() -> int:
    from prebake.cli import main as run  # noqa: PLC0415 - it loads much

    return run()


if __name__ == "__main__":
    sys.exit(main())
