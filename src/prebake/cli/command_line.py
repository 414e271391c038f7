"""All verbs in the order in which they are needed, and what a command ends with."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter

from prebake import terminal
from prebake.cli import comparing, measuring, packs, results, training
from prebake.errors import MissingExtra, OptionError, PrebakeError
from prebake.version import __version__

__all__ = ["app", "main"]

VERBS: tuple[tuple[Callable[..., None], str], ...] = (
    (packs.pack, "pack SOURCE... -o OUT.h5 [OPTIONS]"),
    (packs.info, "info PACK... [--json]"),
    (packs.verify, "verify PACK..."),
    (packs.repair, "repair PACK SOURCE... [OPTIONS]"),
    (packs.show, "show PACK... [IDS...] -o GRID.png [--before SOURCE...]"),
    (packs.audit, "audit PACK... [-o PAGE.html] [OPTIONS]"),
    (packs.split, "split PACK... -o FOLDS.csv [OPTIONS]"),
    (training.train, "train PACK... -o RUN [OPTIONS]"),
    (training.cv, "cv PACK... -o RUN [OPTIONS]"),
    (training.thresholds, "thresholds RUN"),
    (comparing.compare, "compare RUN_A RUN_B [--json]"),
    (comparing.ablate, "ablate SOURCE... -o FOLDER --recipes kernel,crop [OPTIONS]"),
    (results.predict, "predict RUN... INPUT -o PREDICTIONS.csv [OPTIONS]"),
    (results.explain, "explain RUN... INPUT [OPTIONS]"),
    (results.report, "report RUN [-o PAGE.html] [OPTIONS]"),
    (measuring.bench, "bench SOURCE [OPTIONS]"),
    (measuring.plan, "plan SOURCE [--images N] [--workers N] [OPTIONS]"),
    (measuring.demo, "demo [-o FOLDER]"),
)
EXAMPLES = """Start here:

    prebake demo                            # the whole job, generated photographs
    prebake pack FOLDER -o pack.h5          # a folder of yours, or a .zip or .tar
    prebake train pack.h5 -o run
    prebake predict run FOLDER -o predictions.csv
"""

app = App(
    name="prebake",
    help="Preprocess photographs once into one HDF5 file; train, predict and report from it.",
    help_epilogue=EXAMPLES,
    help_format="markdown",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)
for place, (verb, usage) in enumerate(VERBS):
    app.command(verb, usage=f"Usage: prebake {usage}", help_epilogue="", sort_key=place)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 1 a clear message, 2 wrong usage, 130 interrupted."""
    terminal.show_notes()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return 2
    except PrebakeError as error:
        terminal.complain(str(error))
        return 2 if isinstance(error, OptionError) else 1
    except ModuleNotFoundError as error:
        missing = MissingExtra.explaining(error)
        if missing is None:
            raise
        terminal.complain(str(missing))
        return 1
    except OSError as error:
        terminal.complain(str(error))
        return 1
    except KeyboardInterrupt as interrupt:
        said = [str(interrupt), *getattr(interrupt, "__notes__", [])]
        terminal.complain("; ".join(filter(None, said)) or "nothing is half written", first="interrupted")
        return 130
    return 0
