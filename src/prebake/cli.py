"""The command line: each verb parses its options, makes one call and prints what came of it. No logic lives here."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from cyclopts import App, CycloptsError, Parameter

from prebake import terminal
from prebake.config import TrainConfig
from prebake.errors import MissingExtra, OptionError, PrebakeError
from prebake.version import __version__

__all__ = ["app", "main"]

Output = Annotated[Path, Parameter(name=["--output", "-o"])]
Workers = Annotated[int | None, Parameter(name=["--workers", "-j"])]
Layout = Literal["auto", "folder", "aptos", "eyepacs", "idrid", "messidor2", "ddr", "odir"]
OnError = Literal["fail", "skip"]


def _options_of(config: type[TrainConfig]) -> Any:
    """Make an option of every field of the configuration; one that is not given stays ``None``: the preset's value."""
    kinds, presets = get_type_hints(config), {name: config.preset(name) for name in ("default", "kernel")}
    fields = []
    for field in dataclasses.fields(config):
        if field.metadata.get("option", True):
            default, kernel = (_shown(getattr(preset, field.name)) for preset in presets.values())
            values = default if default == kernel else f"{default}, kernel: {kernel}"
            parameter = Parameter(
                help=f"{field.metadata['help']} [default: {values}]",
                negative=f"--no-{field.name.replace('_', '-')}" if kinds[field.name] is bool else (),
                show_default=False,
            )
            fields.append((field.name, Annotated[kinds[field.name] | None, parameter], dataclasses.field(default=None)))
    return dataclasses.make_dataclass("TrainOptions", fields, frozen=True, namespace={"__module__": __name__})


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "all cores" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


if TYPE_CHECKING:

    @dataclasses.dataclass(frozen=True)
    class TrainOptions:
        """Every field of TrainConfig, each of them optional."""
else:
    TrainOptions = _options_of(TrainConfig)

PRESET_VALUES = TrainOptions()
EXAMPLES = """Start here:

    prebake demo                            # the whole job, generated photographs
    prebake pack FOLDER -o pack.h5          # a folder of yours, or a .zip or .tar
    prebake train pack.h5 -o run
    prebake predict run FOLDER -o predictions.csv
"""


def _command(usage: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a verb whose ``--help`` starts with this line."""
    return lambda verb: app.command(verb, usage=f"Usage: prebake {usage}", help_epilogue="")


app = App(
    name="prebake",
    help="Preprocess photographs once into one HDF5 file; train, predict and report from it.",
    help_epilogue=EXAMPLES,
    help_format="markdown",
    version=__version__,
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,
)


@_command("pack SOURCE... -o OUT.h5 [OPTIONS]")
def pack(
    *sources: Path,
    output: Output,
    recipe: str = "kernel",
    size: int | None = None,
    codec: Literal["auto", "raw", "zstd", "gzip"] = "auto",
    labels: Path | None = None,
    layout: Layout = "auto",
    workers: Workers = None,
    on_error: OnError = "fail",
) -> None:
    """Bake photographs into a pack (one HDF5 file): decode, crop and resize each of them once, in parallel.

    Killed or interrupted, the same command goes on where it was. Run again, it bakes only what changed.

    Parameters
    ----------
    sources
        Folders, .zip or .tar files of photographs, or single photographs. Several sources become one pack; their ids
        then start with the name of the source.
    output
        The pack to write, for example pack.h5.
    recipe
        What is done to a photograph: kernel (the published 2019 preprocessing, bit for bit), ben (today's best version
        of it), crop (field of view, aspect kept, no colour change), graham (the 2015 winner), resize; or a function of
        your own as package.module:function or a .json file.
    size
        Side of the square baked images, in pixels; 256, or what a .json recipe brings.
    codec
        How images are stored: raw is the fastest to read, zstd the smallest that is still fast, gzip opens everywhere;
        auto takes raw where the pack fits comfortably in memory, else zstd.
    labels
        The CSV with ids and labels, where it is not the one that lies with the photographs.
    layout
        How photographs and labels lie in the source; auto recognises the published datasets.
    workers
        Processes that bake; all cores without it.
    on_error
        When a photograph cannot be baked: fail (after all others are done, with a table of reasons) or skip (leave it
        out and list it in the pack).
    """
    from prebake.packing import pack as run_pack

    result = run_pack(
        [str(source) for source in sources],
        output,
        recipe=recipe,
        size=size,
        codec=codec,
        labels=labels,
        layout=layout,
        workers=workers,
        on_error=on_error,
    )
    terminal.say(terminal.packed(result, output))


@_command("info PACK [--json]")
def info(pack: Path, /, *, json_: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Tell what is in a pack: rows, size, recipe, codec, labels, failures.

    Parameters
    ----------
    pack
        The pack.
    json_
        Print JSON for scripts instead of a table.
    """
    from prebake.store import open_pack, summary

    facts = summary(open_pack(pack))
    terminal.say(json.dumps(facts, indent=2, ensure_ascii=False) if json_ else terminal.facts(facts))


@_command("verify PACK")
def verify(pack: Path, /) -> None:
    """Check every checksum of a pack; name damaged images; exit code 1 if there are any.

    Parameters
    ----------
    pack
        The pack.
    """
    from prebake.store import verify_pack

    opened = verify_pack(pack)
    terminal.say(f"{pack}: all {len(opened):,} images and their columns are as they were written")


@_command("show PACK [IDS...] -o GRID.png [--before SOURCE...]")
def show(
    pack: Path,
    /,
    *ids: str,
    output: Output,
    before: Annotated[list[Path] | None, Parameter(consume_multiple=True)] = None,
    count: int = 25,
) -> None:
    """Draw a grid of baked images with ids and labels into a PNG.

    Parameters
    ----------
    pack
        The pack.
    ids
        The images to draw; without them an even choice over all labels.
    output
        The PNG to write.
    before
        The sources the pack was made of: each image is drawn beside its photograph.
    count
        How many images to draw when no ids are given.
    """
    from prebake.show import save_grid

    terminal.say(f"wrote {save_grid(pack, output, ids=ids or None, count=count, sources=before)}")


@_command("split PACK... -o FOLDS.csv [OPTIONS]")
def split(*packs: Path, output: Output, folds: int = 5, seed: int = 0, use_test: bool = False) -> None:
    """Put photographs into folds, balanced in size and labels; a patient and all copies of a photograph stay together.

    Copies are found by file, by pixels, and by looks (saved again, at another size or exposure). The table is plain
    CSV with id_code first and fold last: review it, correct it, use it again.

    Parameters
    ----------
    packs
        Packs; the rows of several are put into folds as one data set.
    output
        The CSV to write: id_code, pack, label, group, cluster (of duplicates), fold.
    folds
        How many folds.
    seed
        Another seed gives another set of folds, for repeats.
    use_test
        Also use labelled photographs of a published test set; else they are in no fold.
    """
    from prebake.splits import make_folds

    made = make_folds(packs, folds=folds, seed=seed, use_test=use_test)
    made.save(output)
    terminal.say(terminal.split(made, output))


@_command("audit PACK... [-o PAGE.html] [OPTIONS]")
def audit(
    *packs: Path,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json_: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Look for what makes results wrong before training: copies, conflicting labels, shortcuts, shift, balance.

    Copies within and across packs; how well size, framing, colour and border alone predict the grade, before and after
    the recipe, and tell training from test photographs; labels by source; patients. What is found is no error: the exit
    code is 0.

    Parameters
    ----------
    packs
        Packs; several are audited as one data set.
    output
        A page ending in .html, complete in itself; or a folder, which gets a PNG of each cluster of copies.
    json_
        Print JSON for scripts instead of tables.
    """
    from prebake.auditing import audit as run_audit
    from prebake.auditing import save_pictures
    from prebake.report import require_jinja2, write_audit

    page = output is not None and output.suffix.lower() == ".html"
    if page:
        require_jinja2()
    elif output is not None and output.suffix:
        raise OptionError("an audit is written as a page or as pictures", expected="a .html or a folder", got=output)
    found = run_audit(packs)
    terminal.say(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) if json_ else terminal.audited(found))
    if output is not None:
        written = write_audit(found, output) if page else f"{len(save_pictures(found, output))} pictures into {output}"
        if not json_:
            terminal.say(f"wrote {written}")


@_command("train PACK... -o RUN [OPTIONS]")
def train(
    *packs: Path,
    output: Output,
    preset: Literal["kernel", "default"] = "default",
    options: Annotated[TrainOptions, Parameter(name="*")] = PRESET_VALUES,
) -> None:
    """Train a model on one or several packs; everything it produces goes into one run folder.

    Interrupted, the same command goes on where it was and ends with the same numbers (to the last bit on one CPU).
    Every option below replaces one value of the preset.

    Parameters
    ----------
    packs
        Packs made with the same recipe; several are trained on as one.
    output
        The run folder to write.
    preset
        kernel: the published 2019 training exactly. default: what the evidence favours today.
    """
    from prebake.training import fit

    chosen = {name: value for name, value in vars(options).items() if value is not None}
    run = fit([str(path) for path in packs], output, TrainConfig.preset(preset, **chosen))
    terminal.say(terminal.trained(run))


@_command("cv PACK... -o RUN [OPTIONS]")
def cv(
    *packs: Path,
    output: Output,
    folds: int | Path = 5,
    repeats: int = 1,
    fold: int | None = None,
    parallel: int | None = None,
    preset: Literal["kernel", "default"] = "default",
    options: Annotated[TrainOptions, Parameter(name="*")] = PRESET_VALUES,
) -> None:
    """Cross-validate: train on all folds but one, for each fold; every photograph gets a model that never saw it.

    Every fold is a complete run inside RUN; the table of all of them is RUN/oof.csv. Interrupted, the same command goes
    on where it was, inside a fold too. Every option of train replaces one value of the preset.

    Parameters
    ----------
    packs
        Packs made with the same recipe; several are trained on as one.
    output
        The folder to write.
    folds
        How many folds to make, with --seed; or a table of them, as prebake split writes it.
    repeats
        Train all folds so many times, each time with other folds.
    fold
        Train only this fold (from 0), as one job of a cluster's array; the last job to end writes RUN/oof.csv.
    parallel
        Train so many folds at the same time, in processes of their own; each takes one GPU where there are some.
    preset
        kernel: the published 2019 training exactly. default: what the evidence favours today.
    """
    from prebake.crossval import cross_validate, cross_validate_side_by_side

    if fold is not None and parallel is not None:
        raise OptionError("--fold and --parallel contradict each other", expected="one of them")
    chosen = {name: value for name, value in vars(options).items() if value is not None}
    config = TrainConfig.preset(preset, **chosen)
    asked: dict[str, Any] = {"folds": folds, "repeats": repeats, "done": lambda run: terminal.say(terminal.best(run))}
    if parallel is None:
        found = cross_validate(packs, output, config, fold=fold, **asked)
    else:
        found = cross_validate_side_by_side(packs, output, config, processes=parallel, **asked)
    terminal.say(terminal.cross_validated(found))


@_command("thresholds RUN")
def thresholds(run: Path, /) -> None:
    """Fit the thresholds from raw values to grades, and judge by cross-fitting what they gain over the default ones.

    Written to RUN/thresholds.json, and used only by prebake predict --thresholds. Usually the gain is inside the noise.

    Parameters
    ----------
    run
        A cross-validation, whose out-of-fold predictions are used; or a run, with its validation photographs.
    """
    from prebake.runs import find_thresholds

    terminal.say(terminal.threshold_gain(find_thresholds(run), run))


@_command("predict RUN... INPUT -o PREDICTIONS.csv [OPTIONS]")
def predict(
    *runs_and_input: Annotated[Path, Parameter(name="RUN... INPUT")],
    output: Output,
    submission: bool = False,
    tta: bool = False,
    weights: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    thresholds: bool = False,
    batch_size: int = 32,
    device: str = "auto",
    on_error: OnError = "fail",
) -> None:
    """Predict the grade of every photograph of INPUT with one run, or with the mean of several.

    Parameters
    ----------
    runs_and_input
        One or several run folders or cross-validations (the mean of all their folds), then what to predict: a pack, a
        folder or archive, or one photograph.
    output
        The CSV to write: id_code, diagnosis, raw value, spread of several runs, label where known.
    submission
        Write exactly the competition's two columns id_code,diagnosis.
    tta
        Show every image in eight ways (turned by quarters, mirrored) and take the mean: eight times the model's work.
    weights
        How much each RUN counts in the mean, for example 2 1 1 for three; each fold of a cross-validation counts as
        much as is said for it. All the same without.
    thresholds
        Grade by the thresholds that prebake thresholds fitted, instead of the default ones.
    batch_size
        Images per step of the model.
    device
        cpu, cuda, cuda:1, ...; auto takes the GPU where there is one.
    on_error
        When a photograph cannot be read: fail (after all others are done) or skip (leave it out and say so).
    """
    from prebake.prediction import predict as run_predict
    from prebake.runs import fitted_thresholds

    if len(runs_and_input) < 2:
        raise OptionError("predict needs a run and an input", expected="prebake predict RUN... INPUT -o FILE.csv")
    *runs, source = runs_and_input
    fitted = fitted_thresholds(runs) if thresholds else None
    predictions = run_predict(
        runs, source, tta=tta, weights=weights, batch_size=batch_size, device=device, on_error=on_error
    )
    if fitted is not None:
        predictions = predictions.graded(fitted)
    predictions.to_csv(output, submission=submission)
    terminal.say(terminal.predicted(predictions, output))


@_command("explain RUN... INPUT [OPTIONS]")
def explain(
    *runs_and_input: Annotated[Path, Parameter(name="RUN... INPUT")],
    output: Output = Path("explanations"),
    ids: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    count: int = 16,
    source: Annotated[list[Path] | None, Parameter(consume_multiple=True)] = None,
    check: bool = False,
    device: str = "auto",
) -> None:
    """Draw where a model finds what raises or lowers the grade (Grad-CAM), on the original photographs.

    Several runs, and the folds of a cross-validation, give their mean map.

    Parameters
    ----------
    runs_and_input
        One or several run folders, then what to explain: a pack, a folder or archive, or one photograph.
    output
        The folder to write a PNG for each photograph into.
    ids
        What to explain; without them an even choice over all labels.
    count
        How many to explain when no ids are given.
    source
        Of a pack: the sources it was made of, so that maps are drawn on the photographs.
    check
        Also compare with maps of random weights, which must look different, and say the result in a line.
    device
        cpu, cuda, cuda:1, ...; auto takes the GPU where there is one.
    """
    from prebake.explanation import explain as run_explain
    from prebake.explanation import sanity_check, save_explanation

    if len(runs_and_input) < 2:
        raise OptionError("explain needs a run and an input", expected="prebake explain RUN... INPUT -o FOLDER")
    *runs, given = runs_and_input
    explanations = run_explain(runs, given, ids=ids, count=count, photographs=source, device=device)
    for explanation in explanations:
        terminal.say(terminal.explained(explanation, save_explanation(explanation, output)))
    if check:
        terminal.say(sanity_check(runs, explanations, device=device).sentence)


@_command("report RUN [-o PAGE.html]")
def report(run: Path, /, *, output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None) -> None:
    """Write one self-contained HTML page about a run: curves, confusion matrix, kappa, worst errors, settings.

    Parameters
    ----------
    run
        The run folder.
    output
        The page to write; RUN/report.html without it.
    """
    from prebake.report import write_report

    terminal.say(f"wrote {write_report(run, output)}")


@_command("bench SOURCE [OPTIONS]")
def bench(
    source: Path,
    /,
    *,
    recipe: str = "kernel",
    size: int | None = None,
    photographs: int = 32,
    model: str = "efficientnet_b0",
    batch_size: int = 32,
    workers: Workers = None,
    json_: Annotated[bool, Parameter(name="--json")] = False,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
) -> None:
    """Measure where an epoch's time goes on your photographs and machine, and after how many epochs packing pays.

    A sample is packed and trained on three ways, in turn, with as many processes: decoding in every epoch, packed as
    published in 2019, and with prebake. Takes two to five minutes; nothing is written beside your photographs.

    Parameters
    ----------
    source
        A folder, .zip or .tar file of photographs; or a pack, of which only the loading is measured.
    recipe
        How prebake bakes, as for pack; the two other ways always do the preprocessing published in 2019.
    size
        Side of the square baked images, in pixels; 256, or what a .json recipe brings.
    photographs
        How many are measured, evenly spread over the source.
    model
        The model of timm whose step is measured; its weights are random.
    batch_size
        Photographs in one step.
    workers
        Processes that pack and load, the same number each way; all cores without it, at most 8.
    json_
        Print JSON for scripts instead of tables.
    output
        Draw the result into a picture: .png, .svg or .pdf.
    """
    from prebake.bench import measure
    from prebake.bench.picture import require_picture, save_picture

    require_picture(output)
    result = measure(
        source,
        recipe=recipe,
        size=size,
        photographs=photographs,
        model=model,
        batch_size=batch_size,
        workers=workers,
    )
    terminal.say(json.dumps(result.to_dict(), indent=2) if json_ else terminal.benchmarked(result))
    if output is not None:
        save_picture(result, output)


@_command("demo [-o FOLDER]")
def demo(*, output: Output = Path("prebake-demo")) -> None:
    """Run the whole job on generated photographs: pack, train, predict, report. Under three minutes on two cores.

    Parameters
    ----------
    output
        The folder to write everything into.
    """
    from prebake.demo import demo as run_demo

    terminal.say(terminal.demonstrated(run_demo(output, say=terminal.say)))


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


if __name__ == "__main__":
    sys.exit(main())
