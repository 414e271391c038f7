"""Packing as a whole, on threads where processes add nothing but time."""

from __future__ import annotations

import pickle
import shutil
import sys
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

import h5py
import numpy as np
import pytest

import packing_helpers as helpers
from packing_helpers import photograph, photographs, recipe
from prebake import packing
from prebake.errors import OptionError, PackError, PackFailures, PackFormatError, RecipeError, SourceError
from prebake.packing import job, pack, plan, run
from prebake.store import Pack


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log"
    monkeypatch.setenv(helpers.LOG, str(path))
    return path


def bake(source: Path | list[Path], target: Path, **options: object) -> Pack:
    options = {"recipe": recipe(), "codec": "raw", **options}
    with ThreadPoolExecutor(2) as threads:
        return pack(source, target, executor=options.pop("executor", threads), **options)


def baked(log: Path) -> list[int]:
    """Tell what was baked since this was asked last."""
    values = sorted(map(int, log.read_text().split())) if log.exists() else []
    log.unlink(missing_ok=True)
    return values


def left_over(target: Path) -> list[str]:
    return sorted(str(path.relative_to(target.parent)) for path in target.parent.glob(".*/**/*"))


def test_every_photograph_is_baked_once_in_input_order(tmp_path, log):
    source = photographs(tmp_path / "photos", range(20))
    made = bake(source, tmp_path / "out.h5", workers=2)
    assert made.ids == [f"p{value:03d}" for value in range(20)]
    assert baked(log) == list(range(20))
    for value, image in enumerate(made):
        assert image[0, 0, 1] == value
    assert made.recipe == recipe()
    assert made.failures == ()
    assert (made.width[0], made.height[0], made.source_bytes[0]) == (40, 30, (source / "p000.png").stat().st_size)


@pytest.mark.parametrize("codec", ["raw", "zstd", "gzip"])
def test_the_bytes_do_not_depend_on_how_the_samples_are_cut_into_parts(tmp_path, monkeypatch, codec):
    source = photographs(tmp_path / "photos", range(23))
    contents = set()
    for number, (size, workers) in enumerate([(64, 1), (5, 2), (1, 3)]):
        monkeypatch.setattr(plan, "PART_SIZE", size)
        bake(source, tmp_path / f"{number}.h5", workers=workers, codec=codec)
        contents.add((tmp_path / f"{number}.h5").read_bytes())
    assert len(contents) == 1


def test_local_processes_give_the_same_bytes_whatever_their_number(tmp_path):
    """Three packings at once, so that this also holds of threads that pack beside each other."""
    source = photographs(tmp_path / "photos", range(20))
    bake(source, tmp_path / "threads.h5")
    main = sys.modules["__main__"]

    def with_processes(workers: int) -> bytes:
        return pack(source, tmp_path / f"{workers}.h5", recipe=recipe(), codec="raw", workers=workers).path.read_bytes()

    with ThreadPoolExecutor(3) as threads:
        contents = set(threads.map(with_processes, (1, 2, 3)))
    assert contents == {(tmp_path / "threads.h5").read_bytes()}
    assert sys.modules["__main__"] is main


def test_the_choice_of_the_codec_is_explained_in_the_pack(tmp_path):
    made = bake(photographs(tmp_path / "photos", range(2)), tmp_path / "out.h5", codec="auto")
    assert made.codec == "raw"
    assert "memory" in made.extra["codec_reason"]


def test_only_receipts_and_paths_go_through_the_executor(tmp_path):
    class Picky(Executor):
        def __init__(self) -> None:
            self.sizes: list[int] = []

        def submit(self, function, /, *args, **kwargs):
            message = pickle.dumps((function, args, kwargs))
            future: Future[object] = Future()
            function, args, kwargs = pickle.loads(message)
            answer = pickle.dumps(function(*args, **kwargs))
            self.sizes += [len(message), len(answer)]
            future.set_result(pickle.loads(answer))
            return future

    source = photographs(tmp_path / "photos", range(40))
    executor = Picky()
    made = bake(source, tmp_path / "out.h5", executor=executor, workers=1)
    assert len(made) == 40
    assert max(executor.sizes) < 40 * 300 < made.read([0, 1]).nbytes * 20


# ------------------------------------------------------------------ called again


def test_where_nothing_has_changed_nothing_is_done(tmp_path, log):
    source = photographs(tmp_path / "photos", range(10))
    bake(source, tmp_path / "out.h5")
    baked(log)
    before = (tmp_path / "out.h5").stat()
    made = bake(source, tmp_path / "out.h5")
    after = (tmp_path / "out.h5").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert baked(log) == []
    assert len(made) == 10


def test_after_success_only_what_is_known_of_the_sources_stays_beside_the_pack(tmp_path):
    bake(photographs(tmp_path / "photos", range(4)), tmp_path / "out.h5")
    assert left_over(tmp_path / "out.h5") == [".out.h5.prebake/known.json"]


@pytest.mark.parametrize("change", ["cache lost", "cache garbled", "touched", "copied"])
def test_a_source_that_only_looks_changed_is_compared_by_its_bytes(tmp_path, log, change):
    source = photographs(tmp_path / "photos", range(10))
    bake(source, tmp_path / "out.h5")
    baked(log)
    before = (tmp_path / "out.h5").stat()
    if change == "cache lost":
        shutil.rmtree(tmp_path / ".out.h5.prebake")
    elif change == "cache garbled":
        (tmp_path / ".out.h5.prebake" / "known.json").write_text('{"format": 1, "outcomes": [[1, 2]]}')
    elif change == "touched":
        (source / "p003.png").touch()
    else:
        shutil.copytree(source, tmp_path / "new")
        shutil.rmtree(source)
        (tmp_path / "new").rename(source)
    bake(source, tmp_path / "out.h5")
    assert (tmp_path / "out.h5").stat().st_ino == before.st_ino
    assert baked(log) == []


def test_only_what_is_new_or_changed_is_baked_again_and_the_result_is_as_if_made_anew(tmp_path, log):
    source = photographs(tmp_path / "photos", range(0, 40, 2))
    bake(source, tmp_path / "out.h5")
    baked(log)
    (source / "p010.png").unlink()
    photographs(source, [1, 7])
    photograph(source / "p012.png", 99)
    made = bake(source, tmp_path / "out.h5")
    assert baked(log) == [1, 7, 99]
    assert made["p012"][0, 0, 1] == 99
    bake(source, tmp_path / "fresh.h5")
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    assert (
        left_over(tmp_path / "out.h5")[1:2] == [".out.h5.prebake/known.json"]
        or len(left_over(tmp_path / "out.h5")) == 2
    )


def test_a_source_of_the_same_size_with_other_bytes_is_baked_again(tmp_path, log):
    source = photographs(tmp_path / "photos", [1, 2])
    first, second = source / "p001.png", source / "p002.png"
    bake(source, tmp_path / "out.h5")
    baked(log)
    data = first.read_bytes()
    padded = second.read_bytes() + b"\0" * (len(data) - second.stat().st_size)
    first.write_bytes(padded[: len(data)] if len(padded) == len(data) else data + b"\0")
    made = bake(source, tmp_path / "out.h5")
    assert baked(log) == [2] if len(padded) == len(data) else [1]
    assert len(made) == 2


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_new_labels_are_copied_to_the_old_images(tmp_path, log, codec):
    source = photographs(tmp_path / "photos", range(6))
    table = tmp_path / "labels.csv"
    table.write_text("id_code,diagnosis\n" + "".join(f"p{i:03d},{i % 3}\n" for i in range(6)))
    bake(source, tmp_path / "out.h5", labels=table, codec=codec)
    baked(log)
    table.write_text("id_code,diagnosis\n" + "".join(f"p{i:03d},{i % 2}\n" for i in range(6)))
    made = bake(source, tmp_path / "out.h5", labels=table, codec=codec)
    assert baked(log) == []
    assert made.labels.tolist() == [0, 1, 0, 1, 0, 1]
    bake(source, tmp_path / "fresh.h5", labels=table, codec=codec)
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_labels_that_change_before_the_call_is_repeated_are_the_new_ones(tmp_path, log):
    source = photographs(tmp_path / "photos", [0, 1, 2, 250])
    table = tmp_path / "labels.csv"
    table.write_text("id_code,diagnosis\np000,0\np001,1\np002,2\np250,3\n")
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5", labels=table)
    baked(log)
    table.write_text("id_code,diagnosis\np000,4\np001,\np002,2\np250,3\n")
    made = bake(source, tmp_path / "out.h5", labels=table, on_error="skip")
    assert baked(log) == []
    np.testing.assert_array_equal(made.labels, [4, np.nan, 2])
    before = made.path.stat().st_ino
    bake(source, tmp_path / "out.h5", labels=table, on_error="skip")
    assert made.path.stat().st_ino == before


def test_another_order_of_the_table_is_another_order_of_the_rows(tmp_path, log):
    source = photographs(tmp_path / "photos", range(4))
    table = tmp_path / "labels.csv"
    table.write_text("id_code,diagnosis\np000,0\np001,1\np002,2\np003,3\n")
    bake(source, tmp_path / "out.h5", labels=table)
    baked(log)
    table.write_text("id_code,diagnosis\np003,3\np001,1\np000,0\np002,2\n")
    made = bake(source, tmp_path / "out.h5", labels=table)
    assert made.ids == ["p003", "p001", "p000", "p002"]
    assert [int(image[0, 0, 1]) for image in made] == [3, 1, 0, 2]
    assert baked(log) == []


def test_another_codec_is_a_copy_and_another_recipe_is_a_new_pack(tmp_path, log):
    source = photographs(tmp_path / "photos", range(8))
    bake(source, tmp_path / "out.h5", codec="raw")
    baked(log)
    assert bake(source, tmp_path / "out.h5", codec="zstd").codec == "zstd"
    assert baked(log) == []
    bake(source, tmp_path / "fresh.h5", codec="zstd")
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()
    baked(log)
    made = bake(source, tmp_path / "out.h5", codec="zstd", recipe=recipe(version="2"))
    assert baked(log) == list(range(8))
    assert made.recipe == recipe(version="2")


def test_killed_after_publishing_and_before_tidying_only_tidying_is_left(tmp_path, log, monkeypatch):
    source = photographs(tmp_path / "photos", range(8))
    tidy = job.Job._tidy
    monkeypatch.setattr(job.Job, "_tidy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bake(source, tmp_path / "out.h5")
    monkeypatch.setattr(job.Job, "_tidy", tidy)
    baked(log)
    before = (tmp_path / "out.h5").stat()
    bake(source, tmp_path / "out.h5")
    assert (tmp_path / "out.h5").stat().st_ino == before.st_ino
    assert baked(log) == []
    assert left_over(tmp_path / "out.h5") == [".out.h5.prebake/known.json"]


def interrupted(self: object) -> None:
    raise KeyboardInterrupt


def test_several_sources_go_into_one_pack(tmp_path):
    first, second = photographs(tmp_path / "one", range(3)), photographs(tmp_path / "two", range(2))
    made = bake([first, second], tmp_path / "out.h5")
    assert made.ids == ["one/p000", "one/p001", "one/p002", "two/p000", "two/p001"]


# ---------------------------------------------------------------------- failures


def test_a_photograph_that_cannot_be_baked_fails_the_call_after_all_others_are_done(tmp_path, log):
    source = photographs(tmp_path / "photos", [*range(9), 250])
    with pytest.raises(PackFailures, match="1 of 10 photographs") as caught:
        bake(source, tmp_path / "out.h5")
    assert [failure.id for failure in caught.value.failures] == ["p250"]
    assert caught.value.failures[0].reason == "the recipe raised ValueError: it is the one that cannot be baked"
    assert not (tmp_path / "out.h5").exists()
    assert baked(log) == [*range(9), 250]

    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert baked(log) == []
    assert made.failures == caught.value.failures
    assert len(made) == 9
    assert "p250" not in made
    bake(source, tmp_path / "fresh.h5", on_error="skip")
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_a_recipe_that_exits_is_a_failure_too(tmp_path):
    source = photographs(tmp_path / "photos", [1, 251])
    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert [failure.reason for failure in made.failures] == ["the recipe raised SystemExit: 3"]


def test_a_pack_with_failures_is_up_to_date_for_who_skips_and_not_for_who_does_not(tmp_path, log):
    source = photographs(tmp_path / "photos", [*range(9), 250])
    bake(source, tmp_path / "out.h5", on_error="skip")
    baked(log)
    before = (tmp_path / "out.h5").read_bytes()
    bake(source, tmp_path / "out.h5", on_error="skip")
    assert baked(log) == []
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5")
    assert baked(log) == [250]
    assert (tmp_path / "out.h5").read_bytes() == before
    photograph(source / "p250.png", 77)
    assert len(bake(source, tmp_path / "out.h5")) == 10
    assert baked(log) == [77]


def test_what_could_not_be_read_is_tried_at_each_call_and_the_pack_written_only_when_it_could(tmp_path):
    source = photographs(tmp_path / "photos", range(3))
    too_large = source / "huge.png"
    with too_large.open("wb") as file:
        file.truncate(2**30 + 1)
    bake(source, tmp_path / "out.h5", on_error="skip")
    before = (tmp_path / "out.h5").stat()
    assert bake(source, tmp_path / "out.h5", on_error="skip").failures[0].id == "huge"
    assert (tmp_path / "out.h5").stat().st_ino == before.st_ino
    assert left_over(tmp_path / "out.h5") == [".out.h5.prebake/known.json"]
    photograph(too_large, 7)
    assert len(bake(source, tmp_path / "out.h5", on_error="skip")) == 4


def test_removing_the_bad_photograph_bakes_nothing_again(tmp_path, log):
    source = photographs(tmp_path / "photos", [*range(9), 250])
    photograph(source / "a.png", 250)
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5")
    baked(log)
    (source / "p250.png").unlink()
    (source / "a.png").unlink()
    assert len(bake(source, tmp_path / "out.h5")) == 9
    assert baked(log) == []


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_when_every_photograph_fails_it_is_an_error_in_any_case(tmp_path, on_error):
    source = photographs(tmp_path / "photos", [250])
    with pytest.raises(PackFailures, match="none of the 1 photographs"):
        bake(source, tmp_path / "out.h5", on_error=on_error)
    assert not (tmp_path / "out.h5").exists()


def test_a_photograph_that_is_gone_meanwhile_is_a_failure_without_its_place_on_this_machine(tmp_path, monkeypatch):
    source = photographs(tmp_path / "photos", range(3))
    samples = packing.scan([source])
    monkeypatch.setattr(packing, "scan", lambda *args, **kwargs: samples)
    (source / "p001.png").unlink()
    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert [failure.id for failure in made.failures] == ["p001"]
    assert "gone" in made.failures[0].reason
    assert str(tmp_path) not in made.failures[0].reason


def test_damaged_images_of_parts_and_of_an_earlier_pack_are_baked_again(tmp_path, log, caplog):
    source = photographs(tmp_path / "photos", [*range(8), 250])
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5", workers=1)
    baked(log)
    part = next(path for path in (tmp_path / ".out.h5.prebake" / "parts").glob("*.h5") if "p003" in Pack(path))
    flip(part, "p003")
    bake(source, tmp_path / "out.h5", on_error="skip")
    assert baked(log) == [3]
    flip(tmp_path / "out.h5", "p005")
    (source / "p000.png").unlink()
    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert baked(log) == [5]
    assert made.verify() == []


@pytest.mark.parametrize("left", ["a piece", "nothing", "zeros", "no receipt"])
def test_a_part_of_which_a_loss_of_power_took_something_is_baked_again(tmp_path, log, left):
    source = photographs(tmp_path / "photos", [*range(8), 250])
    with pytest.raises(PackFailures):
        bake(source, tmp_path / "out.h5", workers=1)
    baked(log)
    part = next(path for path in (tmp_path / ".out.h5.prebake" / "parts").glob("*.h5") if "p003" in Pack(path))
    lost = [int(name[1:]) for name in Pack(part).ids]
    data = part.read_bytes()
    if left == "no receipt":
        part.with_suffix(".json").write_bytes(b"")
    else:
        part.write_bytes({"a piece": data[:1000], "nothing": b"", "zeros": bytes(len(data))}[left])
    made = bake(source, tmp_path / "out.h5", on_error="skip")
    assert [value for value in baked(log) if value != 250] == lost
    assert made.verify() == []


def flip(path: Path, name: str) -> None:
    row = Pack(path).index_of(name)
    with h5py.File(path, "r") as file:
        offset = file["images"].id.get_offset() + row * int(np.prod(file["images"].shape[1:]))
    with path.open("r+b") as file:
        file.seek(offset + 5)
        value = file.read(1)[0]
        file.seek(offset + 5)
        file.write(bytes([value ^ 1]))


# ----------------------------------------------------------------------- refusals


def test_what_is_no_pack_of_ours_is_not_overwritten(tmp_path):
    source = photographs(tmp_path / "photos", range(2))
    (tmp_path / "notes.txt").write_text("precious")
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["images"] = np.zeros((2, 16, 16, 3), np.uint8)
        file["id_code"] = [b"a", b"b"]
    for name in ("notes.txt", "bare.h5"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(PackFormatError, match="is not overwritten"):
            bake(source, tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(OptionError, match="the folder"):
        bake(source, tmp_path)
    assert left_over(tmp_path / "x") == []
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("option", "value"), [("codec", "jpeg"), ("on_error", "ignore"), ("workers", 0), ("size", 99)])
def test_options_that_cannot_be_used_are_refused(tmp_path, option, value):
    source = photographs(tmp_path / "photos", range(2))
    with pytest.raises(OptionError, match=option):
        bake(source, tmp_path / "out.h5", **{option: value})


def test_a_size_of_zero_is_not_taken_for_none(tmp_path):
    with pytest.raises(RecipeError, match="8 to 4096"):
        bake(photographs(tmp_path / "photos", range(2)), tmp_path / "out.h5", recipe="resize", size=0)


def test_where_no_process_can_be_started_that_is_said(tmp_path, monkeypatch):
    def refused(workers: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(run, "LocalPool", refused)
    with pytest.raises(PackError, match="cannot be started here"):
        bake(photographs(tmp_path / "photos", range(2)), tmp_path / "out.h5", executor=None)


def test_a_source_that_is_not_there_is_refused_without_a_trace(tmp_path):
    with pytest.raises(SourceError):
        bake(tmp_path / "nowhere", tmp_path / "out.h5")
    assert not list(tmp_path.glob(".*"))


def test_a_target_folder_is_made_and_a_target_link_is_followed(tmp_path):
    source = photographs(tmp_path / "photos", range(2))
    bake(source, tmp_path / "new" / "folder" / "out.h5")
    (tmp_path / "link.h5").symlink_to(tmp_path / "new" / "folder" / "out.h5")
    photographs(source, [5])
    bake(source, tmp_path / "link.h5")
    assert (tmp_path / "link.h5").is_symlink()
    assert len(Pack(tmp_path / "new" / "folder" / "out.h5")) == 3


def test_progress_counts_photographs_and_what_was_there_before(tmp_path, monkeypatch):
    source = photographs(tmp_path / "photos", range(12))
    bake(source, tmp_path / "out.h5")
    photographs(source, [20, 21])
    bars = []

    def recorded(what, total, *, initial=0, **options):
        bars.append(bar := Recorder(what, total, initial))
        return bar

    monkeypatch.setattr(job, "progress", recorded)
    bake(source, tmp_path / "out.h5")
    assert [(bar.what, bar.initial, bar.n, bar.total) for bar in bars] == [
        ("packing", 12, 14, 14),
        ("verifying", 0, 14, 14),
    ]


class Recorder:
    def __init__(self, what: str, total: int, initial: int) -> None:
        self.what, self.total, self.initial, self.n = what, total, initial, initial

    def update(self, count: int) -> None:
        self.n += count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass
