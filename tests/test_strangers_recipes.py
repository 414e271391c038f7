"""A function that a recipe out of a file names is imported only where somebody has named it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import prebake
from explanation_helpers import make_run
from prebake.cli import main
from prebake.errors import RecipeError
from prebake.explanation import explain
from prebake.recipe import Recipe, allow_function, functions
from prebake.recipe.base import Call, Decode
from prebake.runs import Run, RunWriter

NAME = "strangers_module:bake"
RECIPE = Recipe("theirs", 32, (Decode(), Call(NAME, "1")))


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a file behind when it is imported, also in processes that are started later."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "strangers_module.py").write_text(
        f"import pathlib, cv2\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n"
        "def bake(image):\n    return cv2.resize(image, (32, 32))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(functions, "_allowed", set())
    yield tmp_path / "sprung"
    sys.modules.pop("strangers_module", None)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        image = np.full((40, 50, 3), 40 * number + 20, np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


def test_a_recipe_file_is_read_without_importing_what_it_names(trap: Path, photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(RECIPE.to_json())
    with pytest.raises(RecipeError, match=r"--allow-function strangers_module:bake"):
        prebake.pack(photographs, tmp_path / "p.h5", recipe=str(tmp_path / "r.json"), workers=1, progress=False)
    with pytest.raises(RecipeError, match="nobody here has named"):
        RECIPE.apply(np.zeros((40, 50, 3), np.uint8))
    assert not trap.exists()
    words = ["pack", str(photographs), "-o", str(tmp_path / "p.h5"), "--recipe", str(tmp_path / "r.json"), "-j", "1"]
    assert main(words) == 1
    assert not trap.exists()
    assert main([*words, "--allow-function", NAME]) == 0
    assert trap.exists()
    with prebake.open(tmp_path / "p.h5") as pack:
        assert pack.recipe == RECIPE


def test_a_pack_is_not_repaired_by_a_function_that_it_names_itself(
    trap: Path, photographs: Path, tmp_path: Path
) -> None:
    allow_function(NAME)
    path = tmp_path / "p.h5"
    prebake.pack(photographs, path, recipe=RECIPE, codec="raw", workers=1, progress=False)
    trap.unlink()
    functions._allowed.clear()
    with h5py.File(path) as file:
        start = file["images"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff")
    with pytest.raises(RecipeError, match="--allow-function"):
        prebake.repair(path, [photographs], workers=1, progress=False)
    assert not trap.exists()
    allow_function(NAME)
    assert prebake.repair(path, [photographs], workers=1, progress=False) == ["0"]


def test_a_run_is_not_used_with_a_function_that_it_names_itself(trap: Path, photographs: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", Recipe.named("resize", 32))
    RunWriter(run.path).write_recipe(RECIPE)
    assert Run(run.path).recipe == RECIPE
    for use in (prebake.predict, explain):
        with pytest.raises(RecipeError, match="--allow-function"):
            use(run.path, photographs)
    assert not trap.exists()
    words = ["predict", str(run.path), str(photographs), "-o", str(tmp_path / "p.csv"), "--device", "cpu"]
    assert main(words) == 1
    assert not trap.exists()
    assert main([*words, "--allow-function", NAME]) == 0


def test_opening_a_pack_in_another_process_imports_nothing(trap: Path, photographs: Path, tmp_path: Path) -> None:
    allow_function(NAME)
    prebake.pack(photographs, tmp_path / "p.h5", recipe=RECIPE, workers=1, progress=False)
    trap.unlink()
    shutil.rmtree(photographs)
    code = "import sys, prebake; p = prebake.open(sys.argv[1]); assert p.recipe.functions; p.verify(); p[0]; p.fill"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "p.h5")], check=True, timeout=60)
    assert not trap.exists()


def test_names_that_would_do_harm_in_a_shell_are_quoted() -> None:
    recipe = Recipe("theirs", 32, (Decode(), Call("os:system; rm -rf ~\x1b[2J", "1")))
    with pytest.raises(RecipeError) as caught:
        recipe.apply(np.zeros((40, 50, 3), np.uint8))
    assert "--allow-function 'os:system; rm -rf ~" in str(caught.value)
