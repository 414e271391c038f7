"""The benchmark as a whole, on a few drawn photographs and a small model. No speed is asserted."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

from prebake import terminal
from prebake.bench import BenchResult, measure, published
from prebake.bench.disk import cold_speed
from prebake.bench.epochs import OldLoading
from prebake.bench.picture import save_picture
from prebake.cli import main
from prebake.errors import OptionError, SourceError
from prebake.fundus_art import generate
from prebake.packing import pack
from prebake.sources import scan

SMALL = {"size": 64, "photographs": 4, "workers": 1, "batch_size": 4, "progress": False}
TORCHLESS = ("json", "no_such_package")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn photographs and one that is none."""
    drawn = tmp_path_factory.mktemp("drawn")
    generate(drawn, count=10, size=(320, 250), progress=False)
    folder = tmp_path_factory.mktemp("source") / "photographs"
    folder.mkdir()
    for path in sorted(drawn.rglob("*.png"))[:12]:
        shutil.copy(path, folder)
    (folder / "zz_broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photograph")
    return folder


@pytest.fixture(scope="module")
def quick():
    """Measure briefly: what is tested is not the speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prebake.bench.rounds.LONG_ENOUGH", 0.02)
        patch.setattr("prebake.bench.rounds.ROUNDS", 2)
        patch.setattr("prebake.bench.codecs.SECONDS", 0.01)
        yield


@pytest.fixture(scope="module")
def torchless(quick, photographs: Path):
    """All photographs measured where torch is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prebake.bench.measuring.NEEDED", TORCHLESS)
        return measure(photographs, **SMALL | {"photographs": 13})


@pytest.fixture(scope="module")
def trained(quick, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> BenchResult:
    """Four photographs measured with a small model; everything that lies around afterwards would be named here."""
    for name in ("torch", "torchvision", "timm"):
        pytest.importorskip(name)
    before, temporary = set(photographs.rglob("*")), tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        result = measure(photographs, recipe="crop", model="test_efficientnet", **SMALL)
    assert set(photographs.rglob("*")) == before
    assert not list(temporary.glob("prebake-bench-*"))
    return result


def test_without_torch_packing_and_codecs_are_measured_and_the_rest_is_said_to_be_missing(torchless):
    assert torchless.way("prebake").packing is not None
    assert torchless.way("published").packing is not None
    assert all(way.epoch is None for way in torchless.ways)
    assert torchless.break_even() is None
    assert "no_such_package" in torchless.notes[0]
    text = terminal.benchmarked(torchless)
    assert "pip install 'prebake[train]'" in text
    assert "packing" in text
    assert "An epoch" not in text
    json.dumps(torchless.to_dict())


def test_a_photograph_that_cannot_be_read_is_named_and_left_out(torchless):
    assert [failure.id for failure in torchless.left_out] == ["zz_broken"]
    assert (torchless.count, torchless.sampled) == (13, 12)
    assert "left out: zz_broken" in terminal.benchmarked(torchless)


def test_every_codec_is_measured_on_the_baked_images(torchless):
    assert [codec.name for codec in torchless.codecs] == ["raw", "zstd", "gzip"]
    assert torchless.codecs[0].share == 1
    assert all(0 < codec.share <= 1 and codec.encode > 0 and codec.decode > 0 for codec in torchless.codecs)
    assert torchless.codec == "raw"
    assert "fit well" in torchless.codec_reason
    assert torchless.to_dict()["codecs"][0]["pack_bytes"] == 13 * 64 * 64 * 3


@pytest.mark.slow
def test_the_parts_of_every_epoch_add_up_to_what_was_measured(trained):
    assert [way.name for way in trained.ways] == ["photographs", "published", "prebake"]
    for way in trained.ways:
        parts = trained.epoch_parts(way)
        assert sum(parts.values()) == pytest.approx(way.epoch.median)
        assert all(seconds >= 0 for seconds in parts.values())
        assert way.epoch.low <= way.epoch.median <= way.epoch.high
        assert way.loading is None if way.name == "photographs" else way.loading.median > 0
    assert list(trained.way("photographs").stages) == ["read", "decode", "preprocess", "augment", "copy"]
    assert list(trained.way("published").stages) == ["read", "augment", "copy"]
    assert list(trained.way("prebake").stages) == ["read", "augment"]


@pytest.mark.slow
def test_one_process_takes_about_as_long_as_its_stages_together(trained):
    way = trained.way("published")
    assert 0.05 < way.loading.median / sum(way.stages.values()) < 20  # a busy machine is not a wrong result


@pytest.mark.slow
def test_the_table_follows_from_the_measured_numbers(trained):
    costs = {cost.what: cost.seconds for cost in trained.costs()}
    new = trained.way("prebake")
    assert costs["packing"]["prebake"] == pytest.approx(new.start + 13 * new.packing.median)
    assert costs["packing"]["photographs"] is None
    assert costs["one epoch"]["prebake"] == pytest.approx(13 * new.epoch.median)
    ten = costs["packing"]["prebake"] + 10 * costs["one epoch"]["prebake"]
    assert costs["packing and 10 epochs"]["prebake"] == pytest.approx(ten)
    assert trained.headroom() == pytest.approx(trained.step.median / new.loading.median)


@pytest.mark.slow
def test_json_holds_all_of_it_and_the_text_fits_a_terminal(trained):
    values = json.loads(json.dumps(trained.to_dict(), allow_nan=False))
    assert set(values) >= set(asdict(trained)) | {"costs", "break_even_epochs", "packing_pays", "headroom"}
    assert {"name", "stages", "epoch", "loading", "packing", "start", "epoch_parts", "bottleneck"} == set(
        values["ways"][0]
    )
    text = terminal.benchmarked(trained)
    assert max(map(len, text.splitlines()[1:])) <= 80
    for words in ("every epoch from", "step of the model", "packing and 5 folds", "--codec auto takes raw", "slowest"):
        assert words in text
    assert "only prebake does recipe crop" in text.replace("\n  ", " ")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_picture_is_drawn(trained, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = save_picture(trained, tmp_path / "new" / f"bench.{ending}")
    if ending == "png":
        picture = cv2.imread(str(path))
        assert picture.shape[1] > 1000
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    else:
        assert "prebake" in path.read_text() or "<path" in path.read_text()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_cannot_be_drawn_is_refused_before_anything_is_measured(photographs, capsys):
    assert main(["bench", str(photographs), "-o", "bench.jpg"]) == 2
    assert ".png" in capsys.readouterr().err


def test_without_an_epoch_there_is_nothing_to_draw(torchless, tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(OptionError, match="nothing to draw"):
        save_picture(torchless, tmp_path / "bench.png")
    assert not list(tmp_path.iterdir())


def test_the_command_prints_nothing_but_json(quick, photographs, monkeypatch, capsys):
    monkeypatch.setattr("prebake.bench.measuring.NEEDED", TORCHLESS)
    arguments = ["bench", str(photographs), "--photographs", "3", "--size", "32", "-j", "1"]
    assert main([*arguments, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["sampled"] == 3
    assert values["ways"][2]["packing"]["median"] > 0


def test_an_archive_is_measured_too_and_other_folders_stay_as_they_are(torchless, photographs, tmp_path, monkeypatch):
    monkeypatch.setattr("prebake.bench.measuring.NEEDED", TORCHLESS)
    with zipfile.ZipFile(tmp_path / "eyes.zip", "w") as archive:
        for path in sorted(photographs.glob("*.png"))[:3]:
            archive.write(path, path.name)
    result = measure(tmp_path / "eyes.zip", **SMALL)
    assert (result.count, result.sampled) == (3, 3)
    assert [entry.name for entry in tmp_path.iterdir()] == ["eyes.zip"]


@pytest.mark.slow
def test_of_a_pack_only_the_loading_is_measured(trained, photographs, tmp_path):
    target = tmp_path / "eyes.h5"
    pack(photographs, target, recipe="crop", size=64, workers=1, on_error="skip", codec="zstd", progress=False)
    before = target.read_bytes()
    result = measure(target, model="test_efficientnet", **SMALL)
    assert [way.name for way in result.ways] == ["prebake"]
    assert result.way("prebake").epoch is not None
    assert (result.count, result.recipe, result.disk) == (12, "crop", None)
    assert "only loading is measured" in result.notes[0]
    assert "images" in terminal.benchmarked(result)
    assert target.read_bytes() == before


def test_where_nothing_can_be_baked_it_is_said_why(tmp_path, monkeypatch):
    monkeypatch.setattr("prebake.bench.measuring.NEEDED", TORCHLESS)
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(SourceError, match="none of the 1 photographs of the sample can be baked"):
        measure(tmp_path, **SMALL)


def test_an_interrupt_leaves_nothing_behind(photographs, monkeypatch, tmp_path):
    monkeypatch.setattr("prebake.bench.measuring.NEEDED", TORCHLESS)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("prebake.bench.measuring.in_turn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure(photographs, **SMALL)
    assert not list(tmp_path.iterdir())


def test_what_processes_keep_for_their_sockets_goes_with_the_scratch_folder(photographs, monkeypatch, tmp_path):
    paths = sorted(photographs.glob("*.png"))[:2]
    with ThreadPoolExecutor(1) as pool:
        published.pack(paths, tmp_path / "published.h5", size=32, pool=pool)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    old = OldLoading(paths, tmp_path / "published.h5", size=32, normalisation=((0.5,) * 3, (0.5,) * 3), workers=1)
    old.start()
    kept = [path.name for path in tmp_path.iterdir() if path.name != "published.h5"]
    old.close()
    assert kept
    assert all(name.startswith("pymp-") for name in kept)
    assert os.environ["TMPDIR"] == "/nowhere"


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["photographs", "batch_size", "workers"])
def test_an_option_that_cannot_be_used_is_refused(photographs, name, value):
    with pytest.raises(OptionError, match=name):
        measure(photographs, **SMALL | {name: value})


def test_no_processes_are_refused_for_a_pack_too(photographs, tmp_path):
    target = tmp_path / "eyes.h5"
    pack(photographs, target, recipe="resize", size=64, workers=1, on_error="skip", progress=False)
    with pytest.raises(OptionError, match="workers"):
        measure(target, **SMALL | {"workers": 0})


def test_the_speed_of_the_disk_is_a_number_or_unknown(photographs):
    speed = cold_speed(scan(photographs))
    assert speed is None or speed > 0
