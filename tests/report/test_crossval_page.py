"""The page of a cross-validation as a text: its numbers are those of prebake.metrics, and what is missing is said."""

from __future__ import annotations

import json
import re
import shlex
import sys
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from page_helpers import HOSTILE, Page, require_shown_as_text, table_of
from prebake import cli, metrics, terminal
from prebake.config import TrainConfig
from prebake.errors import OptionError, RunError
from prebake.recipe import Recipe
from prebake.report import commands, write_report
from prebake.runs import RECIPE, find_thresholds
from report_helpers import THRESHOLDS, make_cv, make_run


def page_of(cv, **options) -> Page:
    page = Page(write_report(cv, **options).read_text(encoding="utf-8"))
    assert not page.open
    assert "nan" not in page.text.lower().split()
    return page


def percent(share: float) -> str:
    return f"{share * 100:.0f} %"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    cv = make_cv(tmp_path_factory.mktemp("whole") / "cv")
    return cv, page_of(cv)


def test_the_headline_is_kappa_out_of_fold_with_its_interval_and_the_counts(whole):
    cv, page = whole
    oof, found = cv.oof(), cv.summary()
    assert found.kappa == pytest.approx(metrics.quadratic_weighted_kappa(oof["label"], oof["diagnosis"]))
    assert f"reaches kappa {found.kappa:.2f} on photographs it has not seen" in page.text
    assert f"95 % interval {found.low:.2f} to {found.high:.2f}" in page.text
    groups = oof["group"][oof["group"] != ""].nunique() + (oof["group"] == "").sum()
    assert f"Photographs 150 in {groups} groups that stay together" in page.text
    assert "3 folds, each trained once" in page.text


def test_every_fold_has_its_kappa_and_the_spread_is_said(whole):
    cv, page = whole
    kappas = [score.kappa for score in cv.summary().folds]
    for score in cv.summary().folds:
        expected = f"{score.fold} {score.photographs} {score.best_epoch} {score.kappa:.2f} {score.mae:.2f}"
        assert expected in page.text
    spread = f"{min(kappas):.2f} to {max(kappas):.2f}, mean {np.mean(kappas):.2f}"
    assert f"Kappa of the folds: {spread}, standard deviation {np.std(kappas, ddof=1):.2f}." in page.text


def test_screening_says_the_numbers_of_judge_and_marks_the_operating_points(whole):
    cv, page = whole
    judged = cv.judged()
    numbers = metrics.judge(judged)
    for name, boundary in metrics.BOUNDARIES.items():
        area, hold = numbers[f"{name}_auc"], numbers[f"{name}_specificity_at_sensitivity_85"]
        assert f"AUC {area['value']:.2f} ({area['low']:.2f} to {area['high']:.2f})" in page.text
        point = metrics.operating_point(judged.labels, judged.raw, boundary, hold="sensitivity", at=0.85)
        assert hold["value"] == pytest.approx(point.specificity)
        expected = f"sensitivity ≥ 85 % raw value ≥ {point.threshold:.2f} {percent(point.sensitivity)} held "
        expected += f"{percent(hold['value'])} {percent(hold['low'])} to {percent(hold['high'])}"
        assert expected in page.text
        reached = "meets both endpoints" if hold["value"] >= 0.825 else "misses the endpoint of specificity"
        said = f"specificity is {percent(hold['value'])} ({percent(hold['low'])} to {percent(hold['high'])})"
        assert f"{said}, which {reached} of the trial" in page.text
        sick = int((judged.labels >= boundary).sum())
        hits = int(((judged.labels >= boundary) & (judged.raw >= THRESHOLDS[boundary - 1])).sum())
        assert f"of {sick} photographs with it, {hits} ({percent(hits / sick)}) are found" in page.text


def test_recall_calibration_and_referral_say_the_numbers_of_the_library(whole):
    cv, page = whole
    judged = cv.judged()
    numbers = metrics.judge(judged)
    for grade in range(5):
        each = numbers[f"recall_{grade}"]
        interval = f"{percent(each['low'])} to {percent(each['high'])}"
        assert f"{grade} of {each['n']} {percent(each['value'])} {interval}" in page.text
    for name in metrics.BOUNDARIES:
        each = numbers[f"{name}_ece"]
        assert f"error {each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})" in page.text
    curve = metrics.referral_curve(judged, metrics.doubt(judged.raw))
    at = curve.shares.tolist().index(0.2)
    assert f"the {curve.left[at]} others would have kappa {curve.kappa[at]:.2f}" in page.text
    assert f"at random it would be {curve.random_kappa[at]:.2f}" in page.text


def test_the_confusion_matrix_counts_what_pandas_counts(whole):
    cv, _ = whole
    crossed = pd.crosstab(cv.oof()["label"], cv.oof()["diagnosis"])
    cells = re.findall(r'<td class="[^"]*" style="--heat:[\d.]+">(\d+)', (cv.path / "report.html").read_text())
    assert [int(cell) for cell in cells] == crossed.to_numpy().ravel().tolist()


def test_the_largest_errors_come_first_with_the_fold_that_had_not_seen_them(whole):
    cv, page = whole
    oof = cv.oof()
    oof = oof.assign(off=(oof["raw"] - oof["label"]).abs()).nlargest(12, "off")
    places = [page.text.index(name) for name in oof["id_code"]]
    assert places == sorted(places)
    worst = oof.iloc[0]
    assert f"the model of fold {worst['fold']}, which had not seen it, gives {worst['raw']:.2f}" in page.text


def test_what_is_not_there_is_said(whole):
    _, page = whole
    assert "The photographs themselves are not shown" in page.text
    assert "The pack aptos2019 is not at /data/packs/aptos 2019.h5" in page.text
    assert "Nothing was audited" in page.text
    assert "Grad-CAM maps are missing" in page.text  # the made-up runs have no weights


def test_every_reference_stays_inside_the_page_and_drawings_have_words(whole):
    cv, page = whole
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:") or value.removeprefix("#") in targets, value
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    assert all(picture["alt"] for picture in page.all("img"))
    assert not re.search(r"@import|@font-face|url\(", (cv.path / "report.html").read_text())


def test_an_incomplete_one_shows_what_is_there_and_names_what_is_not(tmp_path):
    cv = make_cv(tmp_path / "cv", missing=((1, 2),))
    page = page_of(cv)
    run = [run.validation() for run in cv.begun().values()]
    there = pd.concat(run)
    kappa = metrics.quadratic_weighted_kappa(there["label"], there["diagnosis"])
    assert "1 of 3 folds is missing here: fold-2 (not begun)" in page.text
    assert f"reaches kappa {kappa:.2f} on photographs" in page.text
    assert "2 of 3" in page.text
    assert "2 not begun" in page.text


def test_a_fold_that_diverged_is_left_out_and_named(tmp_path):
    cv = make_cv(tmp_path / "cv", missing=((1, 2),))
    rows = cv.begun()[1, 0].validation()
    rows.assign(raw=[np.nan, *rows["raw"][1:]]).to_csv(cv.path / "fold-0" / "validation.csv", index=False)
    page = page_of(cv)
    assert "fold-0 (gives no numbers (it diverged)), fold-2 (not begun)" in page.text
    assert f"On {len(cv.begun()[1, 1].validation())} photographs" in page.text


def test_folds_under_way_have_curves_and_no_result(tmp_path):
    cv = make_cv(tmp_path / "cv", missing=((1, 1), (1, 2)))
    run = cv.path / "fold-0"
    info = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**info, "state": "training"}))
    page = page_of(cv)
    assert "no fold is complete yet" in page.text
    assert "fold-0 (not ended)" in page.text
    assert "Validation loss" in page.text
    assert "Confusion matrix" not in page.text


def test_without_any_fold_there_is_nothing_to_report(tmp_path):
    cv = make_cv(tmp_path / "cv", missing=((1, 0), (1, 1), (1, 2)))
    with pytest.raises(RunError, match="no fold has begun"):
        write_report(cv)
    assert not (cv.path / "report.html").exists()


def test_repeats_are_averaged_and_each_is_named(tmp_path):
    cv = make_cv(tmp_path / "cv", repeats=2)
    page, found = page_of(cv), cv.summary()
    assert f"reaches kappa {found.kappa:.2f}" in page.text
    assert "Photographs 150" in page.text
    assert "3 folds, 2 repeats" in page.text
    assert "kappa " + ", ".join(f"{kappa:.2f}" for kappa in found.repeats) + ";" in page.text
    assert re.search(r"the model of folds 1/\d, 2/\d, which had not seen it", page.text)
    mean = cv.oof().groupby("id_code", sort=False)["raw"].mean()
    worst = (mean - cv.oof().groupby("id_code", sort=False)["label"].first()).abs().idxmax()
    assert page.text.index(worst) == min(page.text.index(name) for name in mean.index if name in page.text)


def test_a_repeat_that_lacks_folds_still_counts_what_it_has(tmp_path):
    page = page_of(make_cv(tmp_path / "cv", repeats=2, missing=((2, 0), (2, 1), (2, 2))))
    assert "3 of 6 folds are missing here: repeat-2/fold-0 (not begun)" in page.text
    assert "Each repeat by itself: kappa" in page.text


def test_what_is_undefined_is_said_and_is_not_nought(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.choice([0.0, 1.0, 2.0], 60)
    page = page_of(make_cv(tmp_path / "cv", table=table_of(labels, labels + rng.normal(0, 0.4, 60)), count=60))
    assert (
        "Sight-threatening disease (label 3 or more) cannot be judged: no photograph has label 3 or more" in page.text
    )
    assert "undefined: no photograph has label 4" in page.text
    assert "No photograph has label 3, 4: nothing is known here about grading those." in page.text
    assert "P(grade ≥ 3): not defined here" in page.text


def test_one_grade_everywhere_has_no_kappa(tmp_path):
    page = page_of(make_cv(tmp_path / "cv", table=table_of([2.0] * 30, np.full(30, 2.1)), count=30))
    assert "Undefined: every label and every prediction is grade 2." in page.text
    assert "tf_efficientnet_lite0, cross-validated" in page.text


def test_labels_that_are_no_grades_have_what_is_defined(tmp_path):
    labels = np.linspace(0, 4, 40)
    page = page_of(make_cv(tmp_path / "cv", table=table_of(labels, labels), count=40))
    assert "Confusion matrix" not in page.text
    assert "the labels are not whole numbers" in page.text


def test_fitted_thresholds_are_shown_beside_the_default_ones(tmp_path):
    cv = make_cv(tmp_path / "cv")
    assert "Fitted thresholds" not in page_of(cv).text
    gain = find_thresholds(cv)
    page = page_of(cv)
    assert gain.sentence[1:] in page.text
    assert "fitted " + " ".join(f"{cut:.3f}" for cut in gain.thresholds) in page.text


def test_what_stands_in_the_folder_is_shown_as_text(tmp_path):
    table = table_of(np.tile([0.0, 1.0, 2.0, 3.0], 6), np.tile([0.1, 1.2, 1.9, 0.3], 6)).assign(pack=HOSTILE)
    table.loc[3, "id_code"] = HOSTILE
    told = [{"path": "/data/it's; rm -rf $HOME.h5", "name": HOSTILE, "digest": HOSTILE, "rows": 1}]
    cv = make_cv(tmp_path / "<b>cv & co", table=table, count=24, packs=told)
    (cv.path / RECIPE).write_text(Recipe(HOSTILE, 256, Recipe.named("kernel").steps).to_json())
    fitted = {"thresholds": [0.5, 1.5, 2.5, 3.5], "worthwhile": False, "sentence": HOSTILE}
    (cv.path / "thresholds.json").write_text(json.dumps(fitted))
    page = page_of(cv)
    require_shown_as_text(page)


@pytest.mark.parametrize("made", [True, False])
def test_the_command_gives_back_the_same_cross_validation(made, tmp_path, monkeypatch):
    config = TrainConfig.preset("kernel", epochs=3, zoom=(0.9, 1.1), seed=4)
    cv = make_cv(tmp_path / "a cv", repeats=2 if made else 1, made=made, config=config)
    called = []
    stub = ModuleType("prebake.crossval")
    stub.cross_validate = lambda *given, **options: called.append((given, options))
    stub.cross_validate_side_by_side = None
    monkeypatch.setitem(sys.modules, "prebake.crossval", stub)
    monkeypatch.setattr(terminal, "cross_validated", lambda cv: "done")
    words = shlex.split(" ".join(commands.cross_validate(cv)))
    assert cli.main(words[1:]) == 0
    (packs, output, found), options = called[0]
    assert [str(pack) for pack in packs] == ["/data/packs/aptos 2019.h5"]
    assert (str(output), found) == (f"{tmp_path}/a cv-again", config)
    assert options["repeats"] == cv.repeats
    assert str(options["folds"]) == ("3" if made else f"{tmp_path}/a cv/folds.csv")


def test_sources_are_refused_for_a_single_run(tmp_path):
    with pytest.raises(OptionError, match="shows no photographs"):
        write_report(make_run(tmp_path / "run"), sources=[tmp_path])
