"""The demonstration: the whole job, once, resumed, with the commands that do the same."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import pytest

from prebake.demo import _config, demo
from prebake.errors import MissingExtra


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_whole_job_is_done_once_and_not_again(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    lines: list[str] = []
    first = demo(tmp_path / "demo", count=30, epochs=1, progress=False, say=lines.append)
    for path in (first.photographs / "train.csv", first.pack, first.grid, first.predictions, first.report):
        assert path.stat().st_size > 0
        assert path.is_relative_to(tmp_path / "demo")
    assert list(first.seconds) == ["draw", "pack", "train", "predict", "report"]
    assert first.tested == 10
    assert len(_rows(first.predictions)) == 10
    assert -1 <= first.kappa <= 1
    commands = [shlex.split(line) for line in lines if line.startswith("prebake")]
    assert [command[1] for command in commands] == ["pack", "train", "predict", "report"]
    assert f"kappa {first.kappa:.2f} on 10 photographs" in "\n".join(lines)

    stamps = {path: path.stat().st_mtime_ns for path in (first.pack, first.run / "best.safetensors")}
    again = demo(tmp_path / "demo", count=30, epochs=1, progress=False)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert again.kappa == pytest.approx(first.kappa)


def test_what_is_not_installed_is_said_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prebake.demo.NEEDED", ("json", "no_such_package"))
    with pytest.raises(MissingExtra, match="no_such_package") as caught:
        demo(tmp_path / "demo")
    assert "prebake[train" in str(caught.value)
    assert not (tmp_path / "demo").exists()


def test_without_the_packaged_weights_a_small_model_starts_from_random_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prebake.demo.LITE0", "no_such_package")
    assert _config(None, 0).weights == "none"
    assert _config(1, 0).epochs == 1
    assert _config(1, 0).warmup < 1
