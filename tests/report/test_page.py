"""The page as a text: what it says, what it leaves out, and that nothing in a run folder can break out of it."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from page_helpers import HOSTILE, Page, require_shown_as_text, table_of
from prebake.config import TrainConfig
from prebake.errors import RunError
from prebake.metrics import kappa_interval, quadratic_weighted_kappa
from prebake.recipe import Recipe
from prebake.report import write_report
from prebake.runs import RunWriter
from report_helpers import make_run


def page_of(run) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def test_the_page_says_the_numbers_of_the_validation_table(run):
    page = page_of(run)
    table = run.validation()
    kappa = quadratic_weighted_kappa(table["label"], table["diagnosis"])
    low, high = kappa_interval(table["label"], table["diagnosis"])
    assert f"reaches kappa {kappa:.2f}" in page.text
    assert f"interval {low:.2f} to {high:.2f}" in page.text
    assert f"{(table['label'] - table['raw']).abs().mean():.2f}" in page.text
    hits = int((table["label"] == table["diagnosis"]).sum())
    assert f"{hits} of {len(table)} (accuracy)" in page.text
    assert not page.open


def test_the_confusion_matrix_counts_what_pandas_counts(run):
    page = page_of(run)
    crossed = pd.crosstab(run.validation()["label"], run.validation()["diagnosis"])
    cells = re.findall(r'<td class="[^"]*" style="--heat:[\d.]+">(\d+)', (run.path / "report.html").read_text())
    assert [int(cell) for cell in cells] == crossed.to_numpy().ravel().tolist()
    assert "Confusion matrix" in page.text


def test_it_lies_in_the_run_folder_or_where_asked(run, tmp_path):
    assert write_report(run.path) == run.path / "report.html"
    assert write_report(run, tmp_path / "elsewhere.html").read_bytes() == (run.path / "report.html").read_bytes()


def test_every_reference_stays_inside_the_page(run):
    page = page_of(run)
    targets = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for _, attributes in page.tags:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:") or value.removeprefix("#") in targets, value
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script")
    text = (run.path / "report.html").read_text()
    assert not re.search(r"@import|@font-face|url\(", text)
    assert "default-src 'none'" in text


def test_every_picture_says_what_it_is_in_words(run):
    page = page_of(run)
    pictures = page.all("img")
    assert len(pictures) == 24
    assert all(re.match(r"Photograph [0-9a-f]{12}: label \d, graded \d", picture["alt"]) for picture in pictures)
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))


def test_headings_go_down_without_a_gap(run):
    levels = [int(name[1]) for name, _ in page_of(run).tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_what_stands_in_the_run_is_shown_as_text(tmp_path):
    table = table_of([0.0, 1.0, 2.0, 3.0], [0.1, 1.2, 1.9, 0.3]).assign(id_code=[HOSTILE, "b", "c", "d"], pack=HOSTILE)
    run = make_run(tmp_path / "<b>run & co", table=table)
    run.info["packs"][0] |= {"name": HOSTILE, "path": "/data/it's; rm -rf $HOME.h5"}
    run.info["versions"] = {HOSTILE: HOSTILE}
    run.info["model"] = run.info["device"] = run.info["precision"] = run.info["created"] = HOSTILE
    RunWriter(run.path).write_recipe(Recipe(HOSTILE, 256, Recipe.named("kernel").steps))
    fitted = {"thresholds": [0.5, 1.5, 2.5, 3.5], "worthwhile": False, "sentence": HOSTILE}
    (run.path / "thresholds.json").write_text(json.dumps(fitted))
    page = page_of(run)
    require_shown_as_text(page)
    assert not page.open


def test_the_command_repeats_the_training(tmp_path):
    config = TrainConfig.preset("kernel", epochs=3, channels_last=True, zoom=(0.9, 1.1), val_fraction=0.2)
    page = page_of(make_run(tmp_path / "run", config=config))
    expected = f"prebake train '/data/packs/aptos 2019.h5' -o {tmp_path}/run-again --preset kernel --epochs 3"
    assert expected in page.text
    assert "--zoom 0.9 1.1" in page.text
    assert "--val-fraction 0.2" in page.text
    assert "--lr" not in page.text
    assert f"prebake predict {tmp_path}/run PHOTOGRAPHS -o predictions.csv" in page.text


def test_a_label_nobody_has_is_said(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.choice([0.0, 1.0, 2.0, 4.0], 60)
    page = page_of(make_run(tmp_path / "run", table=table_of(labels, labels + rng.normal(0, 0.4, 60))))
    assert "No validation photograph has label 3" in page.text


def test_undefined_kappa_is_said_with_its_reason(tmp_path):
    page = page_of(make_run(tmp_path / "run", table=table_of([2.0] * 9, np.full(9, 2.1))))
    assert "Undefined: every label and every prediction is grade 2." in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("labels", [np.linspace(0, 4, 40), np.repeat(np.arange(20.0), 3), np.tile([-1.0, 3.0], 20)])
def test_labels_that_are_no_few_grades_have_no_confusion_matrix(labels, tmp_path):
    page = page_of(make_run(tmp_path / "run", table=table_of(labels, np.clip(labels, 0, 4))))
    assert "Confusion matrix" not in page.text
    assert "Mean absolute error" in page.text
    assert not page.open


def test_patients_widen_the_interval_and_are_named(tmp_path):
    page = page_of(make_run(tmp_path / "run", groups=True))
    assert "the interval draws" in page.text
    assert "183 groups whole" in page.text
    assert "name no patients" in page_of(make_run(tmp_path / "other", groups=False)).text


def test_names_of_retinopathy_grades_are_offered_only_where_there_are_five(tmp_path):
    labels = np.repeat(np.arange(7.0), 8)
    assert "proliferative" not in page_of(make_run(tmp_path / "seven", table=table_of(labels, labels))).text
    assert "4 proliferative" in page_of(make_run(tmp_path / "five")).text


def test_the_share_of_waiting_for_data_is_said_where_it_is_known(tmp_path):
    run = make_run(tmp_path / "run")
    assert "0.4% of it waiting for data" in page_of(run).text
    run.metrics().drop(columns="waiting").to_csv(run.path / "metrics.csv", index=False)
    assert "waiting for data" not in page_of(run).text


def test_a_training_under_way_has_a_page_that_says_so(run):
    for name in ("validation.csv", "worst.npz", "metrics.csv"):
        (run.path / name).unlink()
    run.info["state"] = "training"
    for name in ("best_epoch", "seconds", "n_train", "n_val", "precision"):
        run.info.pop(name)
    page = page_of(run)
    assert "This training has not ended" in page.text
    assert "no validation predictions" in page.text
    assert "No epoch has ended yet" in page.text
    assert not page.open


def test_raw_values_that_are_no_numbers_are_said(tmp_path):
    raw = np.array([0.0, np.nan, 2.0, np.inf, 3.0])
    page = page_of(make_run(tmp_path / "run", table=table_of([0.0, 1.0, 2.0, 3.0, 4.0], raw)))
    assert "2 of 5 photographs no number" in page.text


def test_one_epoch_is_drawn(tmp_path):
    config = TrainConfig.preset("kernel", epochs=1)
    assert "1 of 1 epoch in" in page_of(make_run(tmp_path / "run", epochs=1, config=config)).text


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 photograph without a label takes no part."),
        (1200, "1,200 photographs without a label take no part."),
    ],
)
def test_photographs_without_a_label_are_counted(run, count, words):
    RunWriter(run.path).write_info({**run.info, "n_unlabelled": count})
    assert words in page_of(run.path).text


def test_packs_without_a_recipe_are_said(run):
    (run.path / "recipe.json").unlink()
    assert "The packs do not tell their recipe." in page_of(run).text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_neither_torch_nor_scikit_learn_is_loaded_by_the_import():
    late = ("torch", "sklearn", "jinja2", "matplotlib")
    code = f"import sys, prebake.report; print([name for name in {late} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"}
    )
    assert found.stdout.strip() == "[]"
