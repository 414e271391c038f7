"""The command line: help, exit codes, and that each verb makes its one call."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from duplicates_helpers import row, write
from prebake.cli import main
from prebake.cli.command_line import VERBS

COMMANDS = [verb.__name__ for verb, _ in VERBS]
DOCS = Path(__file__).resolve().parents[1] / "docs"
HERE = {**os.environ, "PYTHONPATH": str(DOCS.with_name("src"))}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Six small photographs and a table."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["id_code,diagnosis"]
    for number in range(6):
        image = cv2.circle(np.zeros((90, 120, 3), np.uint8), (60, 45), 40, (40, 90, 200), -1)
        cv2.imwrite(str(folder / f"eye{number}.png"), image + rng.integers(0, 5, image.shape, np.uint8))
        lines.append(f"eye{number},{number % 3}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option(command, capsys):
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: prebake {command}")
    assert "Traceback" not in text


def test_help_lists_the_verbs_in_the_order_of_the_work(capsys):
    assert main(["--help"]) == 0
    listed = re.findall(r"^│ ([a-z]+) ", capsys.readouterr().out, flags=re.MULTILINE)
    assert listed == COMMANDS
    assert (listed[0], listed[-1]) == ("pack", "demo")


def test_help_and_import_load_neither_torch_nor_hdf5():
    code = (
        "import sys, prebake, prebake.cli\n"
        "assert prebake.cli.main(['train', '--help']) == 0\n"
        "heavy = {'torch', 'lightning', 'timm', 'h5py', 'cv2', 'pandas', 'matplotlib', 'fsspec'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=HERE)
    assert done.returncode == 0, done.stderr


def test_the_command_line_page_is_what_help_says():
    page = runpy.run_path(str(DOCS / "generate_cli.py"))["page"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run `make docs`"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["pack"],
        ["pack", "photographs", "-o", "x.h5", "--no-such-option"],
        ["pack", "photographs", "-o", "x.h5", "--size", "large"],
        ["pack", "-o", "x.h5"],
        ["train", "-o", "run"],
        ["train", "x.h5", "-o", "run", "--schedule", "sometimes"],
        ["train", "x.h5", "-o", "run", "--lr", "-1"],
        ["predict", "run", "-o", "x.csv"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_a_message_that_says_what_to_do_and_code_1(tmp_path, capsys):
    assert main(["info", str(tmp_path / "missing.h5")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "missing.h5" in said
    assert "Traceback" not in said


def test_pack_info_verify_and_show_work_together(photographs, tmp_path, capsys):
    target = tmp_path / "pack.h5"
    assert main(["pack", str(photographs), "-o", str(target), "--recipe", "crop", "--size", "32", "-j", "1"]) == 0
    assert "6 images 32x32, recipe crop" in capsys.readouterr().out

    assert main(["info", str(target)]) == 0
    assert "crop" in capsys.readouterr().out
    assert main(["info", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == 6
    assert facts["recipe"]["name"] == "crop"
    assert facts["labels"] == {"0": 2, "1": 2, "2": 2, "missing": 0}
    assert facts["failures"] == []

    assert main(["verify", str(target)]) == 0
    assert "6 images" in capsys.readouterr().out

    assert (
        main(["show", str(target), "eye1", "eye4", "-o", str(tmp_path / "grid.png"), "--before", str(photographs)]) == 0
    )
    assert cv2.imread(str(tmp_path / "grid.png")) is not None


def test_verify_names_the_damaged_image_and_ends_with_code_1(photographs, tmp_path, capsys):
    target = tmp_path / "pack.h5"
    assert main(["pack", str(photographs), "-o", str(target), "--codec", "raw", "--size", "32", "-j", "1"]) == 0
    import prebake

    pixels = prebake.open(target)["eye3"].tobytes()
    content = bytearray(target.read_bytes())
    content[content.find(pixels) + 100] ^= 1
    target.write_bytes(content)
    capsys.readouterr()
    assert main(["verify", str(target)]) == 1
    assert "eye3" in capsys.readouterr().err


def test_a_photograph_that_cannot_be_baked_is_named(photographs, tmp_path, capsys):
    (photographs / "eye2.png").write_bytes(b"not a photograph")
    arguments = ["pack", str(photographs), "-o", str(tmp_path / "pack.h5"), "--size", "32", "-j", "1"]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "eye2" in said
    assert "--on-error skip" in said
    assert not (tmp_path / "pack.h5").exists()
    assert main([*arguments, "--on-error", "skip"]) == 0
    assert "1 photograph could not be baked" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "pack.h5"), "--json"]) == 0
    assert [failure["id"] for failure in json.loads(capsys.readouterr().out)["failures"]] == ["eye2"]


def test_output_into_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m prebake train --help | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, env=HERE)
    assert done.stdout.startswith("Usage: prebake train")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_training_without_its_extra_says_what_to_install():
    code = (
        "import sys\n"
        "sys.modules['lightning'] = None\n"
        "import prebake\n"
        "from prebake.cli import main\n"
        "assert main(['train', 'pack.h5', '-o', 'run']) == 1\n"
        "try:\n"
        "    prebake.fit\n"
        "except prebake.PrebakeError as error:\n"
        "    sys.stderr.write(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=HERE)
    assert done.stderr.count("lightning is not installed") == 2
    assert "pip install 'prebake[train]'" in done.stderr


def test_an_interruption_says_how_to_go_on_and_ends_with_code_130(monkeypatch, capsys):
    def interrupted(*_arguments, **_options):
        interrupt = KeyboardInterrupt()
        interrupt.add_note("3 of 9 photographs are done; run the same command again to go on from there")
        raise interrupt

    monkeypatch.setattr("prebake.packing.pack", interrupted)
    assert main(["pack", "photographs", "-o", "pack.h5"]) == 130
    assert capsys.readouterr().err.startswith("interrupted: 3 of 9 photographs are done; run the same command again")


def test_split_writes_a_table_and_shows_the_folds(tmp_path, capsys):
    rows = [row(number, label=float(number % 2)) for number in range(8)]
    rows += [row(0, id="copy", label=1.0), row(8, label=None), row(9, group="patient", label=0.0)]
    pack = write(tmp_path / "pack.h5", rows)
    assert main(["split", str(pack), "-o", str(tmp_path / "folds.csv"), "--folds", "2", "--seed", "3"]) == 0
    assert (tmp_path / "folds.csv").read_text().startswith("id_code,pack,label,group,cluster,fold\n")
    text = capsys.readouterr().out
    assert "folds.csv: 10 photographs in 2 folds\nfold  photographs  label 0  label 1\n   0            5 " in text
    assert "kept together: 1 patient\n" in text
    assert "kept together: 2 photographs in 1 cluster of duplicates (pairs: identical pixels 1)\n" in text
    assert "different labels: p000 = copy\n" in text
    assert "in no fold: 1 photograph without a label or of a published test set\n" in text
    assert main(["split", str(pack), "-o", str(tmp_path / "folds.csv"), "--folds", "11"]) == 1
    assert "ask for fewer folds" in capsys.readouterr().err


def test_commands_take_many_packs_by_a_quoted_pattern_or_one_by_one(tmp_path, capsys):
    files = [write(tmp_path / f"eyes-0000{n}-of-00002.h5", [row(4 * n + i) for i in range(4)]) for n in range(2)]
    pattern, listed = str(tmp_path / "eyes-*.h5"), [str(path) for path in files]
    for given in ([pattern], listed):
        capsys.readouterr()
        assert main(["info", *given, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["rows"], told["files"]) == (8, 2)
        assert main(["verify", *given]) == 0
        assert "all 8 images" in capsys.readouterr().out
        assert main(["show", *given, "p005", "-o", str(tmp_path / "grid.png")]) == 0
        assert main(["split", *given, "-o", str(tmp_path / "folds.csv"), "--folds", "2"]) == 0
        assert len((tmp_path / "folds.csv").read_text().splitlines()) == 9
    capsys.readouterr()
    files[0].unlink()
    assert main(["info", pattern]) == 1
    assert "1 of 2 files are not there" in capsys.readouterr().err


def test_all_packs_at_the_end_are_what_runs_are_used_on(tmp_path):
    from prebake.cli.options import runs_and_input

    packs = [write(tmp_path / f"{name}.h5", [row(0)]) for name in "ab"]
    (tmp_path / "run.h5").mkdir()
    runs = [tmp_path / "run", tmp_path / "run.h5"]
    assert runs_and_input([*runs, *packs], "") == (runs, packs)
    assert runs_and_input([*runs, packs[0]], "") == (runs, packs[0])
    assert runs_and_input([*runs, tmp_path / "photographs"], "") == (runs, tmp_path / "photographs")
