"""All verbs in the order in which they are needed, and what a command ends with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter

from prebake import interrupts, terminal
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


RESUMED = {"pack", "repair", "train", "cv", "ablate", "demo"}
KEPT = "what is done is kept; run the same command again to go on from there"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    That is 0 for done, 1 where a clear message tells why not, 2 for wrong usage, 130 and 143 for interrupted (SIGINT,
    SIGTERM).
    """
    given = sys.argv[1:] if arguments is None else arguments
    if given and given[0] in RESUMED:
        interrupts.promise(KEPT)
    said: list[str] = []
    try:
        return _run(given)
    except KeyboardInterrupt as interrupt:
        said = [str(interrupt), *getattr(interrupt, "__notes__", [])]
    except BaseException:
        if not interrupts.asked():  # what an interrupted import or library raises may have any name
            raise
    line = "; ".join(filter(None, said)) or interrupts.promised()
    interrupts.last_words(lambda: terminal.complain(line, first="interrupted"))
    return interrupts.exit_code()


def _run(arguments: Sequence[str]) -> int:
    terminal.show_notes()
    try:
        app(arguments, exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        return 2
    except (PrebakeError, ModuleNotFoundError, OSError) as error:
        told = MissingExtra.explaining(error) if isinstance(error, ModuleNotFoundError) else error
        if told is None or interrupts.asked():
            raise
        terminal.complain(str(told))
        return 2 if isinstance(told, OptionError) else 1
    return 0
