"""What ``--codec auto`` takes, and that it stays with it."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import packing_helpers as helpers
from packing_helpers import DEADLY, killed, photograph, photographs, recipe
from prebake.errors import NoSpace, PackFailures
from prebake.packing import CodecFacts, choose_codec, job, pack, plan, probe
from prebake.store import Pack

GB = 10**9
LARGE = CodecFacts(30 * GB, memory=24 * GB, free=100 * GB, share=0.57, photographs=16)


# ------------------------------------------------------------------------- the rule


def test_raw_is_chosen_where_the_pixels_fit_well_into_memory_and_onto_the_disk_without_measuring():
    for facts in (CodecFacts(3_000, 9_000, 9_000), CodecFacts(3_000, 9_000, 9_000, share=0.1, photographs=4)):
        assert not facts.needs_measuring
        choice = choose_codec(facts)
        assert (choice.codec, choice.share) == ("raw", 1)
        assert choice.reason == (
            "3.0 kB of pixels fit well into 9.0 kB of memory and onto the disk, whatever zstd would make of them"
        )


@pytest.mark.parametrize(("memory", "free"), [(8_999, 9_000), (9_000, 8_999), (1, 1)])
def test_zstd_is_chosen_where_they_do_not_and_it_makes_them_smaller(memory, free):
    facts = CodecFacts(3_000, memory, free, share=0.57, photographs=16)
    assert facts.needs_measuring
    choice = choose_codec(facts)
    assert (choice.codec, choice.share) == ("zstd", 0.57)
    assert "zstd makes 0.57 of them (measured on 16 photographs)" in choice.reason
    assert ("memory" in choice.reason) == (memory < 9_000)
    assert ("the disk" in choice.reason) == (free < 9_000)


def test_raw_is_chosen_where_zstd_hardly_helps_and_the_disk_holds_the_pixels_twice():
    assert choose_codec(replace(LARGE, share=0.9)).codec == "zstd"
    assert choose_codec(replace(LARGE, share=0.91)).codec == "raw"
    assert choose_codec(replace(LARGE, share=0.91, free=60 * GB)).codec == "raw"
    assert choose_codec(replace(LARGE, share=0.91, free=60 * GB - 1)).codec == "zstd"
    assert "but zstd makes 0.97 of them" in choose_codec(replace(LARGE, share=0.97)).reason


def test_speeds_decide_only_between_two_that_the_disk_holds():
    fast_disk = replace(LARGE, decode_rate=1.2 * GB, read_rate=3 * GB)
    assert choose_codec(fast_disk).codec == "raw"
    assert choose_codec(replace(fast_disk, read_rate=0.2 * GB)).codec == "zstd"
    assert choose_codec(replace(fast_disk, free=80 * GB)).codec == "zstd"
    assert choose_codec(replace(fast_disk, read_rate=None)).codec == "zstd"


def test_without_a_measurement_it_is_zstd_and_the_reason_says_so():
    choice = choose_codec(replace(LARGE, share=None, photographs=0))
    assert choice.codec == "zstd"
    assert 0.57 < choice.share < 1
    assert choice.reason.endswith("; zstd could not be measured")


def test_the_reason_does_not_tell_what_is_never_the_same_twice():
    first = replace(LARGE, decode_rate=1.1 * GB, read_rate=0.3 * GB)
    second = replace(LARGE, free=99 * GB, memory=24 * GB - 10**6, decode_rate=1.3 * GB, read_rate=0.4 * GB)
    assert choose_codec(first).reason == choose_codec(second).reason


# ------------------------------------------------------------------- what is measured


def noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8))


def test_what_zstd_makes_of_images_and_both_speeds_are_measured_and_no_file_stays(tmp_path):
    facts = probe.measured(CodecFacts(1, 1, 1), [*noise(1), np.zeros((16, 16, 3), np.uint8)], tmp_path)
    assert 0.5 < facts.share < 0.6
    assert facts.photographs == 2
    assert facts.decode_rate > 0
    assert facts.read_rate > 0
    assert list(tmp_path.iterdir()) == []


def test_where_the_disk_cannot_be_measured_sizes_decide(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    facts = probe.measured(CodecFacts(1, 1, 1), noise(3), tmp_path)
    assert facts.share > 1
    assert (facts.decode_rate, facts.read_rate) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_disk_holds_only_a_part_of_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda _file, content, _offset: len(content) // 2)
    facts = probe.measured(CodecFacts(1, 1, 1), noise(3), tmp_path)
    assert (facts.decode_rate, facts.read_rate) == (None, None)


def test_without_an_image_nothing_is_measured(tmp_path):
    assert probe.measured(LARGE, [], tmp_path) is LARGE


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 31, 1000])
def test_a_sample_is_spread_over_all(count):
    found = probe.spread(range(count))
    assert len(found) == min(count, 16)
    assert found[0] == 0
    assert found[-1] == count - 1
    assert max(np.diff(found), default=1) - min(np.diff(found), default=1) <= 1


@pytest.mark.parametrize(
    ("line", "limit"),
    [("0::/job/step", "job/memory.max"), ("4:cpu,memory:/job/step", "memory/job/memory.limit_in_bytes")],
)
def test_the_limit_of_a_container_or_batch_job_is_the_memory(tmp_path, monkeypatch, line, limit):
    assert probe.machine_memory() > GB // 4
    groups, read = tmp_path / "groups", Path.read_text
    (groups / limit).parent.mkdir(parents=True)
    (groups / limit).write_text("123456789\n")
    (groups / "memory.max").write_text("max\n")
    monkeypatch.setattr(probe, "CGROUPS", groups)
    monkeypatch.setattr(
        Path, "read_text", lambda path, **how: line if str(path) == "/proc/self/cgroup" else read(path, **how)
    )
    assert probe.machine_memory() == 123456789


# ------------------------------------------------------------------------- in packing


PIXELS = 16 * 16 * 3


class Machine:
    """Memory and disk as tests want them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.memory, self.free, self.read_rate = 1, 100 * GB, 1.0
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(job, "machine_memory", lambda: self.memory)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=self.free))
        monkeypatch.setattr(probe, "_read_rate", lambda *_: self.read_rate)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return one whose memory is far too small and whose disk is slow and empty, so that zstd is taken."""
    return Machine(monkeypatch)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    monkeypatch.setenv(helpers.LOG, str(path))
    return path


def bake(source: Path, target: Path, **options: object) -> Pack:
    with ThreadPoolExecutor(2) as threads:
        return pack(source, target, **{"recipe": recipe(), "executor": threads, **options})


def baked(log: Path) -> list[int]:
    values = sorted(map(int, log.read_text().split())) if log.exists() else []
    log.unlink(missing_ok=True)
    return values


def test_a_few_images_are_measured_and_nothing_is_baked_twice(tmp_path, log, machine):
    made = bake(photographs(tmp_path / "photos", range(40)), tmp_path / "out.h5")
    assert made.codec == "zstd"
    share = np.mean([len(made.encoded(row)) for row in probe.spread(range(40))]) / PIXELS
    assert made.extra["codec_reason"] == (
        "30.7 kB of pixels do not fit well into 1 B of memory; "
        f"zstd makes {share:.2f} of them (measured on 16 photographs)"
    )
    assert baked(log) == list(range(40))
    assert [path.name for path in tmp_path.glob(".out.h5.prebake/*")] == ["known.json"]


def test_where_raw_fits_anyway_nothing_is_measured(tmp_path, machine, monkeypatch):
    monkeypatch.setattr(job, "measured", None)
    machine.memory = GB
    made = bake(photographs(tmp_path / "photos", range(4)), tmp_path / "out.h5")
    assert made.codec == "raw"
    assert "whatever zstd would make of them" in made.extra["codec_reason"]


def test_a_disk_that_is_faster_than_decoding_makes_it_raw_and_the_sample_is_kept(tmp_path, log, machine):
    machine.read_rate = 1e15
    made = bake(photographs(tmp_path / "photos", range(40)), tmp_path / "out.h5")
    assert made.codec == "raw"
    assert "the disk was faster" in made.extra["codec_reason"]
    assert baked(log) == list(range(40))
    bake(tmp_path / "photos", tmp_path / "explicit.h5", codec="raw")
    assert all((one == other).all() for one, other in zip(made, Pack(tmp_path / "explicit.h5"), strict=True))
    assert (made.checksum == Pack(tmp_path / "explicit.h5").checksum).all()


@pytest.mark.parametrize("read_rate", [1.0, 1e15])
def test_the_bytes_do_not_depend_on_workers_parts_or_the_executor(tmp_path, machine, monkeypatch, read_rate):
    machine.read_rate = read_rate
    source = photographs(tmp_path / "photos", range(23))
    made = [bake(source, tmp_path / "0.h5"), bake(source, tmp_path / "1.h5", executor=None, workers=2)]
    monkeypatch.setattr(plan, "PART_SIZE", 3)
    made.append(bake(source, tmp_path / "2.h5", workers=3))
    assert len({pack.path.read_bytes() for pack in made}) == 1


def test_the_sample_goes_through_the_executor_of_the_user(tmp_path, machine):
    class Counting(Executor):
        def __init__(self) -> None:
            self.photographs: list[int] = []

        def submit(self, function, /, task):
            self.photographs.append(len(task.samples))
            future: Future[object] = Future()
            future.set_result(function(task))
            return future

    executor = Counting()
    bake(photographs(tmp_path / "photos", range(40)), tmp_path / "out.h5", executor=executor, workers=1)
    assert sum(executor.photographs) == 40
    assert sum(executor.photographs[:4]) == 16


# ---------------------------------------------------------------- samples that cannot be baked


def test_a_photograph_in_the_sample_that_kills_its_worker_is_a_named_failure_and_costs_no_other(tmp_path, machine):
    source = photographs(tmp_path / "photos", [*range(6), DEADLY])
    options = {"recipe": recipe(killed), "executor": None, "workers": 2}
    made = bake(source, tmp_path / "out.h5", on_error="skip", **options)
    assert [failure.id for failure in made.failures] == ["p255"]
    assert "died twice" in made.failures[0].reason
    assert len(made) == 6
    assert "(measured on 6 photographs)" in made.extra["codec_reason"]


def test_a_sample_that_raises_fails_the_call_after_all_others_are_done(tmp_path, log, machine):
    source = photographs(tmp_path / "photos", [*range(30), 250])
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5")
    assert baked(log) == [*range(30), 250]
    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert baked(log) == []
    assert "(measured on 15 photographs)" in made.extra["codec_reason"]


def test_where_the_whole_sample_fails_the_others_are_packed_all_the_same(tmp_path, machine):
    source = photographs(tmp_path / "photos", range(1, 32, 2))
    for value in range(0, 31, 2):
        photograph(source / f"p{value:03d}.png", 250)
    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert len(made) == 16
    assert made.codec == "zstd"
    assert "zstd makes" in made.extra["codec_reason"]
    (source / "p031.png").unlink()
    made = bake(source, tmp_path / "new.h5", on_error="skip")
    assert made.codec == "zstd"
    assert made.extra["codec_reason"].endswith("zstd could not be measured")


# ---------------------------------------------------------------------- it stays with it


@pytest.fixture(params=["zstd", "raw"])
def begun(request: pytest.FixtureRequest, machine: Machine, tmp_path: Path, log: Path) -> str:
    """Interrupt a packing that chose one codec, and turn the machine into one on which the other would be chosen."""
    fits, fits_not = 100 * GB, 1
    source = photographs(tmp_path / "photos", [*range(40), 250])
    machine.memory = fits if request.param == "raw" else fits_not
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5")
    machine.memory = fits_not if request.param == "raw" else fits
    baked(log)
    return str(request.param)


def test_a_run_that_is_resumed_keeps_the_codec_and_its_reason_whatever_the_machine_has_become(
    tmp_path, log, machine, begun
):
    made = bake(tmp_path / "photos", tmp_path / "out.h5", on_error="skip")
    assert baked(log) == []
    assert made.codec == begun
    machine.memory = 100 * GB if begun == "raw" else 1
    bake(tmp_path / "photos", tmp_path / "fresh.h5", on_error="skip")
    assert made.path.read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert not (tmp_path / ".out.h5.prebake" / "codec.json").exists()


def test_the_choice_is_on_the_disk_before_anything_is_baked_because_of_it(tmp_path, log, machine, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    source = photographs(tmp_path / "photos", range(40))
    with monkeypatch.context() as patch:
        patch.setattr(job.Job, "_bake_missing", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bake(source, tmp_path / "out.h5")
    assert baked(log) == probe.spread(range(40))
    machine.memory = 100 * GB
    assert bake(source, tmp_path / "out.h5").codec == "zstd"
    assert len(baked(log)) == 24


def test_a_choice_stays_when_parts_have_filled_the_disk(tmp_path, machine, monkeypatch):
    monkeypatch.setattr(job, "ROW_BYTES", 0)  # more than such small images take
    machine.memory, machine.free = 100 * GB, 41 * PIXELS * 3
    source = photographs(tmp_path / "photos", [*range(40), 250])
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5")
    machine.free -= 40 * PIXELS
    assert bake(source, tmp_path / "out.h5", on_error="skip").codec == "raw"


def test_what_was_asked_for_goes_before_what_was_chosen_and_nothing_is_baked_again(tmp_path, log, begun):
    for codec in ("gzip", "raw", "zstd"):
        made = bake(tmp_path / "photos", tmp_path / "out.h5", on_error="skip", codec=codec)
        assert made.codec == codec
        assert "codec_reason" not in made.extra
    assert baked(log) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"made_by": 1, "codec": "zstd", "reason": "", "share": 1}'])
def test_a_choice_that_cannot_be_read_is_made_anew(tmp_path, log, begun, text):
    (tmp_path / ".out.h5.prebake" / "codec.json").write_text(text)
    made = bake(tmp_path / "photos", tmp_path / "out.h5", on_error="skip")
    assert made.codec != begun
    assert baked(log) == []


def test_another_recipe_chooses_anew(tmp_path, begun):
    made = bake(tmp_path / "photos", tmp_path / "out.h5", on_error="skip", recipe=recipe(version="2"))
    assert made.codec != begun


@pytest.mark.parametrize("codec", ["raw", "zstd", "gzip"])
def test_an_update_keeps_the_codec_whatever_the_machine_has_become(tmp_path, log, machine, codec):
    source = photographs(tmp_path / "photos", range(20))
    bake(source, tmp_path / "out.h5", codec=codec)
    baked(log)
    before = (tmp_path / "out.h5").stat().st_ino
    for memory in (1, 100 * GB):
        machine.memory = memory
        assert bake(source, tmp_path / "out.h5").path.stat().st_ino == before
    photographs(source, [30])
    machine.memory = 100 * GB if codec == "zstd" else 1
    made = bake(source, tmp_path / "out.h5")
    assert (made.codec, made.extra["codec_reason"]) == (codec, "as the pack was before")
    assert baked(log) == [30]


def test_an_update_keeps_the_reason_too(tmp_path, log, machine):
    source = photographs(tmp_path / "photos", range(20))
    reason = bake(source, tmp_path / "out.h5").extra["codec_reason"]
    machine.memory = 100 * GB
    photographs(source, [30])
    assert bake(source, tmp_path / "out.h5").extra["codec_reason"] == reason


def test_a_disk_that_holds_neither_is_refused_and_no_choice_stays(tmp_path, machine):
    machine.free = 10
    source = photographs(tmp_path / "photos", range(4))
    with pytest.raises(NoSpace):
        bake(source, tmp_path / "out.h5")
    assert not (tmp_path / ".out.h5.prebake" / "codec.json").exists()
    machine.free, machine.memory = 100 * GB, 100 * GB
    assert bake(source, tmp_path / "out.h5").codec == "raw"
