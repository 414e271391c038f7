"""The largest errors as pictures: the model that had not seen them is asked, and what cannot be shown is said."""

from __future__ import annotations

import json
import re
import shutil
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from page_helpers import Page
from prebake.explanation import explain
from prebake.metrics import grade
from prebake.packing import pack
from prebake.prediction import predict
from prebake.report import write_report
from prebake.report.crossval.maps import maps
from prebake.report.crossval.packs import Found, Sources
from prebake.report.crossval.result import OutOfFold
from prebake.report.crossval.worst import largest_errors, with_pictures
from prebake.runs import CrossValidation, RunWriter
from prediction_helpers import COUNT, RECIPE, draw, write_run
from report_helpers import history


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photographs, their pack beside them, and a cross-validation of two tiny networks with weights."""
    place = tmp_path_factory.mktemp("made")
    (place / "eyes").mkdir()
    draw(place / "eyes")
    rows = "".join(f"eye{number:02},{number % 5}\n" for number in range(COUNT))
    (place / "eyes" / "train.csv").write_text("id_code,diagnosis\n" + rows)
    baked = pack(place / "eyes", place / "eyes.h5", recipe=RECIPE, workers=1, progress=False)
    table = pd.DataFrame({"id_code": baked.ids, "pack": "eyes", "label": baked.labels, "group": ""})
    table = table.assign(fold=np.arange(COUNT) % 2)
    parts = []
    for fold in range(2):
        run = write_run(place / "cv" / f"fold-{fold}", seed=fold, fold=fold, best_epoch=2)
        own = table[table["fold"] == fold]
        raw = predict([run], place / "eyes.h5").raw[own.index]
        own = own.assign(raw=raw, diagnosis=grade(raw))
        writer = RunWriter(run.path)
        writer.write_validation(own.drop(columns="fold"))
        writer.write_metrics(history(2, np.random.default_rng(fold)))
        parts.append(own)
    writer = RunWriter(place / "cv")
    writer.write_config(run.config)
    writer.write_recipe(RECIPE)
    told = {"path": str(baked.path), "name": "eyes", "digest": baked.digest, "rows": COUNT}
    info = {"format": 1, "state": "complete", "folds": [0, 1], "repeats": 1, "packs": [told], "versions": {}}
    (place / "cv" / "cv.json").write_text(json.dumps(info))
    whole = pd.concat(parts)[["id_code", "pack", "label", "group", "fold", "raw", "diagnosis"]]
    whole.to_csv(place / "cv" / "oof.csv", index=False)
    return place


@pytest.fixture
def place(made, tmp_path):
    """A copy that a test may damage."""
    shutil.copytree(made, tmp_path / "here")
    here = tmp_path / "here"
    info = json.loads((here / "cv" / "cv.json").read_text())
    info["packs"][0]["path"] = str(here / "eyes.h5")
    (here / "cv" / "cv.json").write_text(json.dumps(info))
    return here


def page_of(place, **options) -> Page:
    return Page(write_report(place / "cv", **options).read_text(encoding="utf-8"))


def names(page) -> list[str]:
    return [picture["alt"].partition(" ")[0] for picture in page.all("img")]


def test_photograph_baked_image_and_map_stand_side_by_side(place):
    page = page_of(place)
    assert names(page) == ["Photograph", "Baked", "Grad-CAM"] * COUNT
    assert not re.search("not shown|missing", page.text)
    sizes = [(picture["width"], picture["height"]) for picture in page.all("img")[:3]]
    assert sizes == [("120", "90"), ("64", "64"), ("120", "90")]


def test_the_map_is_that_of_the_fold_that_had_not_seen_the_photograph(made):
    cv = CrossValidation(made / "cv")
    found = OutOfFold.of(cv)
    photos, _ = with_pictures(largest_errors(found), cv.begun(), Found.of(cv), Sources.of(None))
    explained, reasons = maps(photos, cv.begun(), "cpu")
    assert reasons == []
    oof = cv.oof().set_index("id_code")
    for photo in photos:
        fold = int(oof.loc[photo.id, "fold"])
        assert photo.folds == ((1, fold),)
        own, other = (explain(cv.begun()[1, one], made / "eyes.h5", ids=[photo.id])[0] for one in (fold, 1 - fold))
        np.testing.assert_allclose(explained[photo].map, own.map, atol=1e-4)
        assert not np.allclose(explained[photo].map, other.map, atol=1e-3)
        assert explained[photo].raw == pytest.approx(photo.raw, abs=1e-3)


def test_photographs_elsewhere_are_found_where_the_user_says(place):
    (place / "eyes").rename(place / "moved")
    page = page_of(place)
    assert names(page) == ["Baked", "Grad-CAM"] * COUNT
    assert "prebake report CV --source FOLDER" in page.text
    assert names(page_of(place, sources=[place / "moved"])) == ["Photograph", "Baked", "Grad-CAM"] * COUNT


def test_another_photograph_of_the_same_name_is_not_shown(place):
    worst = page_of(place).all("img")[0]["alt"].split()[1].rstrip(":")
    cv2.imwrite(str(place / "eyes" / f"{worst}.png"), np.full((90, 120, 3), 7, np.uint8))
    page = page_of(place)
    assert names(page).count("Photograph") == COUNT - 1
    assert f"The photograph is not shown: {worst} (eyes/{worst}.png) is not the photograph that was baked." in page.text


def test_sources_that_cannot_be_read_are_said(place):
    page = page_of(place, sources=[place / "nowhere"])
    assert "nowhere" in page.text
    assert names(page) == ["Baked", "Grad-CAM"] * COUNT


def test_a_pack_that_changed_is_not_used(place):
    (place / "eyes.h5").unlink()
    pack(place / "eyes", place / "eyes.h5", recipe="crop", size=64, workers=1, progress=False)
    page = page_of(place)
    assert names(page) == []
    assert "is not the one that was trained on: its contents have changed." in page.text
    assert "Of some not even the baked image is shown" in page.text


def test_without_torch_the_page_says_that_there_are_no_maps(place, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("prebake.explanation")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    page = page_of(place)
    assert names(page) == ["Photograph", "Baked"] * COUNT
    assert "There are no Grad-CAM maps on this page: torch is not installed where it was written." in page.text


def test_a_fold_without_weights_has_no_maps_and_the_other_has(place):
    (place / "cv" / "fold-1" / "best.safetensors").unlink()
    page = page_of(place)
    assert names(page).count("Grad-CAM") == (COUNT + 1) // 2
    assert "Grad-CAM maps are missing: " in page.text


def test_the_packs_are_audited(place):
    page = page_of(place)
    assert "the packs do not name the patient of any photograph" in page.text.replace("The packs", "the packs")
