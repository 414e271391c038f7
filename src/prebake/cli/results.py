"""The verbs that use a run: on other photographs, to show its reasons, and to tell of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from prebake import terminal
from prebake.cli.browser import show_in_browser
from prebake.cli.options import (
    Functions,
    MaybeOutput,
    OnError,
    Open,
    Output,
    Paths,
    RunsAndInput,
    allow,
    runs_and_input,
)

__all__ = ["explain", "predict", "report"]


def predict(
    *paths: RunsAndInput,
    output: Output,
    submission: bool = False,
    tta: bool = False,
    weights: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    thresholds: bool = False,
    batch_size: int = 32,
    device: str = "auto",
    on_error: OnError = "fail",
    allow_functions: Functions = None,
) -> None:
    """Predict the grade of every photograph of INPUT with one run, or with the mean of several.

    Parameters
    ----------
    paths
        One or several run folders or cross-validations (the mean of all their folds), then what to predict: packs
        or a quoted pattern ("NAME-*.h5"), a folder or archive, or one photograph.
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
    allow_functions
        A function, as package.module:function, that the recipe of the runs may import and call: a run may come from a
        stranger.
    """
    from prebake.prediction import predict as run_predict
    from prebake.runs import fitted_thresholds

    allow(allow_functions)
    runs, source = runs_and_input(paths, "prebake predict RUN... INPUT -o PREDICTIONS.csv")
    fitted = fitted_thresholds(runs) if thresholds else None
    predictions = run_predict(
        runs, source, tta=tta, weights=weights, batch_size=batch_size, device=device, on_error=on_error
    )
    if fitted is not None:
        predictions = predictions.graded(fitted)
    predictions.to_csv(output, submission=submission)
    terminal.say(terminal.predicted(predictions, output))


def explain(
    *paths: RunsAndInput,
    output: Output = Path("explanations"),
    ids: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    count: int = 16,
    source: Paths = None,
    check: bool = False,
    device: str = "auto",
    allow_functions: Functions = None,
) -> None:
    """Draw where a model finds what raises or lowers the grade (Grad-CAM), on the original photographs.

    Several runs, and the folds of a cross-validation, give their mean map.

    Parameters
    ----------
    paths
        One or several run folders, then what to explain: packs or a quoted pattern ("NAME-*.h5"), a folder or archive,
        or one photograph.
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
    allow_functions
        A function, as package.module:function, that the recipe of the runs may import and call: a run may come from a
        stranger.
    """
    from prebake.explanation import explain as run_explain
    from prebake.explanation import sanity_check, save_explanation

    allow(allow_functions)
    runs, given = runs_and_input(paths, "prebake explain RUN... INPUT -o FOLDER")
    explanations = run_explain(runs, given, ids=ids, count=count, photographs=source, device=device)
    for explanation in explanations:
        terminal.say(terminal.explained(explanation, save_explanation(explanation, output)))
    if check:
        terminal.say(sanity_check(runs, explanations, device=device).sentence)


def report(
    run: Path,
    /,
    *,
    output: MaybeOutput = None,
    source: Paths = None,
    device: str = "auto",
    open_: Open = False,
) -> None:
    """Write one self-contained HTML page about a run or a cross-validation.

    Of a run: curves, confusion matrix, kappa, worst errors, settings. Of a cross-validation, complete or not, the
    same out of fold and with intervals; ROC, probabilities, referral, the worst photographs with Grad-CAM of the model
    that had not seen them, and an audit of the packs.

    Parameters
    ----------
    run
        The run folder, or that of a cross-validation.
    output
        The page to write; RUN/report.html without it.
    source
        Of a cross-validation: the folders or archives that its packs were made of, to show the photographs. Without it
        they are looked for beside the packs.
    device
        Of a cross-validation: where Grad-CAM is computed. cpu, cuda, cuda:1, ...; auto takes the GPU where there is
        one.
    open_
        Also open the page in the browser.
    """
    from prebake.report import write_report

    page = write_report(run, output, sources=source, device=device)
    terminal.say(f"wrote {page}")
    if open_:
        show_in_browser(page)
