"""``python -m prebake`` is the command ``prebake``."""

import sys

from prebake.cli import main

if __name__ == "__main__":
    sys.exit(main())
