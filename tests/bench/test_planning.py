"""The plan: arithmetic on given rates, and rates measured on a few drawn photographs. No speed is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prebake import terminal
from prebake.bench import Plan, plan
from prebake.bench.planning import ROW_MEMORY, Rates
from prebake.bench.result import CodecSpeed
from prebake.cli import main
from prebake.errors import OptionError
from prebake.fundus_art import generate
from prebake.terminal.planning import TASKS


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawn photographs."""
    folder = tmp_path_factory.mktemp("drawn")
    generate(folder, count=10, size=(160, 120), progress=False)
    return folder / "train_images"


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prebake.bench.codecs.SECONDS", 0.01)
    monkeypatch.setattr("prebake.bench.planning.MERGE_BYTES", 1 << 20)


def of(*, read_speed: float | None = 1e9, merge: float = 1e-4, **changes: int) -> Plan:
    """A million files of 1 MB, each 9 ms to bake and 1 ms to encode."""
    codecs = (CodecSpeed("raw", share=1.0, encode=1000.0, decode=500.0),)
    rates = Rates(16, 1e6, 0.009, codecs, {"raw": merge}, read_speed)
    given = {"size": 100, "images": 1_000_000, "workers": 10, "cores": 4, "memory": 24_000_000_000, **changes}
    return Plan("photographs", "crop", rates=rates, **given)


def test_everything_follows_from_the_rates() -> None:
    (packing,) = of().packings
    reading, baking, merging = packing.tasks
    assert (reading.seconds, baking.seconds, merging.seconds) == pytest.approx((1000, 1000, 100))
    assert packing.seconds == pytest.approx(1100)
    assert packing.pack_bytes == 1_000_000 * 30_000
    assert packing.epoch == pytest.approx(1_000_000 / (500 * 4))
    assert packing.streaming == pytest.approx(30)


@pytest.mark.parametrize(
    ("changes", "slowest"),
    [({"workers": 1}, "baking"), ({"read_speed": 1e8, "workers": 100}, "reading"), ({"merge": 1.0}, "merging")],
)
def test_the_slowest_part_is_named_with_what_to_change(changes: dict[str, float], slowest: str) -> None:
    found = of(**changes)  # type: ignore[arg-type]
    assert found.packings[0].bottleneck.name == slowest
    said = " ".join(terminal.planned(found).split())
    advice = {"baking": "more --workers", "reading": "--read-speed", "merging": "divide the photographs"}
    assert f"Slowest with raw: {TASKS[slowest]}; " in said
    assert advice[slowest] in said


def test_so_many_packs_side_by_side_that_merging_takes_no_longer_than_the_rest() -> None:
    found = of(merge=0.0035)  # 3,500 s beside 1,000 s
    assert found.packings[0].shards == 4
    assert "In 4 shares of 250,000" in terminal.planned(found)
    assert "shares" not in terminal.planned(of())


def test_more_cores_than_the_storage_feeds_are_told() -> None:
    assert of(workers=10).useful_workers == 9
    assert "More than 9 cores would wait" in terminal.planned(of(workers=10))
    assert "would wait" not in terminal.planned(of(workers=9))


def test_an_unknown_speed_of_reading_is_said_to_be_unknown() -> None:
    found = of(read_speed=None)
    assert found.useful_workers is None
    assert found.packings[0].tasks[0].seconds is None
    assert found.packings[0].streaming is None
    assert "reading: unknown" in terminal.planned(found)


def test_more_memory_than_there_is_is_told() -> None:
    many = 24_000_000_000 // ROW_MEMORY
    assert "besides its workers" in terminal.planned(of(images=many))
    assert "besides its workers" not in terminal.planned(of(images=many // 3))


@pytest.mark.usefixtures("_quick")
def test_rates_are_measured_on_the_photographs(photographs: Path) -> None:
    found = plan(photographs, images=10_000, workers=7, recipe="crop", size=32, photographs=4, progress=False)
    sizes = [path.stat().st_size for path in photographs.iterdir()]
    assert found.rates.sampled == 4
    assert found.rates.photograph_bytes == pytest.approx(sum(sizes) / len(sizes))
    assert found.rates.bake > 0
    assert set(found.rates.merge) == {"raw", "zstd", "gzip"} == {packing.codec for packing in found.packings}
    assert all(seconds > 0 for seconds in found.rates.merge.values())
    assert (found.images, found.workers) == (10_000, 7)


@pytest.mark.usefixtures("_quick")
def test_the_command_prints_a_plan_or_json(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", str(photographs), "--size", "32", "--photographs", "2", "--read-speed", "250"]
    assert main(words) == 0
    assert "10 photographs, " in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == 10
    assert told["rates"]["read_speed"] == 250e6
    assert {packing["bottleneck"] for packing in told["packings"]} <= {"reading", "baking", "merging"}


@pytest.mark.parametrize("wrong", [{"images": 0}, {"workers": 0}, {"photographs": 0}, {"read_speed": 0.0}])
def test_numbers_that_cannot_be_used_are_refused(photographs: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match=next(iter(wrong)).replace("_", " ")):
        plan(photographs, **wrong)  # type: ignore[arg-type]
