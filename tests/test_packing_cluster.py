"""Packing on the workers of a dask scheduler, which are processes of their own."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import packing_helpers as helpers
from packing_helpers import photographs, recipe
from prebake.errors import MissingExtra, OptionError, PackError
from prebake.packing import cluster, pack, run, surroundings, worker

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed (the extra `cluster`)")


def workers(count: int) -> distributed.LocalCluster:
    return distributed.LocalCluster(n_workers=count, threads_per_worker=1, processes=True, dashboard_address=":0")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with workers(2) as made:
        yield made.scheduler_address


def locally(source: Path, target: Path, **options: object) -> bytes:
    with ThreadPoolExecutor(1) as threads:
        pack(source, target, executor=threads, **options)
    return target.read_bytes()


def parts_baked() -> int:
    """Tell, on a worker, whether it has baked anything."""
    return worker._recipe.cache_info().misses


@contextlib.contextmanager
def packing_in_the_middle(source: Path, target: Path, **options: object) -> Iterator[Future[object]]:
    """Pack in a thread, slowly; the block begins when a part is finished, and others are not."""
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(pack, source, target, recipe=recipe(helpers.slowly), codec="raw", workers=2, **options)
        parts = target.with_name(f".{target.name}.prebake") / "parts"
        while not future.done() and not list(parts.glob("*.json")):
            time.sleep(0.01)
        assert not future.done()
        yield future


def test_the_pack_has_the_bytes_of_a_local_one_and_only_receipts_travel(tmp_path, scheduler, monkeypatch):
    source, options = photographs(tmp_path / "photos", range(40)), {"recipe": "resize", "size": 128, "codec": "zstd"}
    receipts, add = [], run._Driver._add
    monkeypatch.setattr(run._Driver, "_add", lambda self, task, got: receipts.append(got) or add(self, task, got))
    pack(source, tmp_path / "there.h5", scheduler=scheduler, **options)
    assert (tmp_path / "there.h5").read_bytes() == locally(source, tmp_path / "here.h5", **options)
    travelled = sum(len(pickle.dumps(receipt)) for receipt in receipts[: len(receipts) // 2])
    assert travelled < 40 * 400 < 128 * 128 * 3
    with distributed.Client(scheduler, set_as_default=False) as client:
        assert sum(client.run(parts_baked).values()) >= 1


def test_files_of_a_set_are_the_same_too(tmp_path, scheduler):
    source, options = photographs(tmp_path / "photos", range(14)), {"recipe": recipe(), "codec": "raw"}
    many = pack(source, tmp_path / "a" / "eyes.h5", scheduler=scheduler, max_pack_size=261_000, **options)
    with ThreadPoolExecutor(1) as threads:
        local = pack(source, tmp_path / "b" / "eyes.h5", executor=threads, max_pack_size=261_000, **options)
    assert [member.path.read_bytes() for member in many.members] == [
        member.path.read_bytes() for member in local.members
    ]


@pytest.mark.slow
def test_a_worker_that_is_killed_and_one_that_joins_late_change_nothing(tmp_path):
    source, target = photographs(tmp_path / "photos", range(120)), tmp_path / "there.h5"
    with (
        workers(2) as made,
        distributed.Client(made, set_as_default=False) as client,
        packing_in_the_middle(source, target, scheduler=made.scheduler_address) as packing,
    ):
        first = client.run(os.getpid)
        os.kill(next(iter(first.values())), signal.SIGKILL)
        made.scale(3)
        packing.result(60)
        late = set(client.run(parts_baked)) - set(first)
        assert late
        assert any(client.run(parts_baked)[name] for name in late)
    assert target.read_bytes() == locally(source, tmp_path / "here.h5", recipe=recipe(helpers.slowly), codec="raw")


@pytest.mark.slow
def test_a_scheduler_that_is_lost_ends_the_call_and_the_next_takes_what_is_finished(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)
    monkeypatch.setenv(helpers.LOG, str(tmp_path / "log"))
    source, target = photographs(tmp_path / "photos", range(120)), tmp_path / "there.h5"
    with workers(2) as made, packing_in_the_middle(source, target, scheduler=made.scheduler_address) as packing:
        address = made.scheduler_address
        made.close()
        with pytest.raises(PackError, match=f"the scheduler {address} is lost[^$]*finished parts are kept"):
            packing.result(60)
    assert not target.exists()
    before = len((tmp_path / "log").read_text().splitlines())
    options = {"recipe": recipe(helpers.slowly), "codec": "raw"}
    locally(source, target, **options)
    assert len((tmp_path / "log").read_text().splitlines()) < before + 120
    assert target.read_bytes() == locally(source, tmp_path / "here.h5", **options)


@pytest.mark.slow
def test_that_all_workers_are_gone_is_said_once_and_others_go_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(cluster, "WATCH_SECONDS", 0.1)
    source, target = photographs(tmp_path / "photos", range(120)), tmp_path / "there.h5"
    with workers(2) as made, packing_in_the_middle(source, target, scheduler=made.scheduler_address) as packing:
        made.scale(0)
        said = f"the scheduler {made.scheduler_address} has no workers any more; waiting for others"
        while said not in caplog.messages and not packing.done():
            time.sleep(0.05)
        time.sleep(0.5)
        assert not packing.done()
        made.scale(2)
        packing.result(60)
    assert caplog.messages.count(said) == 1
    assert target.read_bytes() == locally(source, tmp_path / "here.h5", recipe=recipe(helpers.slowly), codec="raw")


def die_when_asked() -> None:
    """Do, on a worker, what a job does that is ended in the wrong moment."""
    sys.modules[cluster.__name__].look = lambda proof, sources: os._exit(1)


def test_a_worker_that_is_lost_while_it_is_asked_is_not_held_to_be_unable(tmp_path, caplog):
    source = photographs(tmp_path / "photos", range(8))
    with workers(2) as made, distributed.Client(made, set_as_default=False) as client:
        first = next(iter(client.run(os.getpid)))
        client.run(die_when_asked, workers=[first])
        made_pack = pack(source, tmp_path / "out.h5", recipe=recipe(), scheduler=made.scheduler_address)
    assert f"the worker {first} was lost while it was asked" in caplog.text
    assert len(made_pack) == 8


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    source = photographs(tmp_path / "photos", range(2))
    for address in ("tcp://127.0.0.1:1", "nonsense://x:1", ""):
        with pytest.raises(PackError, match=f"the scheduler {address} cannot be reached"):
            pack(source, tmp_path / "out.h5", recipe=recipe(), scheduler=address)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    with ThreadPoolExecutor(1) as threads, pytest.raises(OptionError, match="contradict each other"):
        pack(source, tmp_path / "out.h5", recipe=recipe(), scheduler="tcp://127.0.0.1:1", executor=threads)


def change_version(module: str) -> None:
    """Do, on a worker, what another installation there does."""
    sys.modules[module].versions = lambda: "prebake 0.0.9"


@pytest.mark.parametrize("late", [False, True])
def test_workers_with_other_versions_are_refused(tmp_path, late):
    source = photographs(tmp_path / "photos", range(8))
    module = surroundings.__name__ if late else cluster.__name__  # who comes late is not asked before
    with workers(1) as made, distributed.Client(made, set_as_default=False) as client:
        client.run(cluster.look, "", [])
        client.run(change_version, module)
        with pytest.raises(PackError, match="has other versions: its images would be others") as caught:
            pack(source, tmp_path / "out.h5", recipe=recipe(), scheduler=made.scheduler_address)
    assert "got: prebake 0.0.9" in str(caught.value)
    assert f"expected: {surroundings.versions()}" in str(caught.value)
    assert not (tmp_path / "out.h5").exists()


ALONE = "mount -t tmpfs none {hidden} && exec {python} -m distributed.cli.dask_worker {address} --no-dashboard"


@pytest.fixture
def blind_worker(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Start a scheduler and a worker that sees an empty folder where others see one; return the scheduler's address."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("another view of the disk cannot be made here (unshare --mount)")
    with contextlib.ExitStack() as stack:

        def start(hidden: Path) -> str:
            made = stack.enter_context(workers(0))
            command = ALONE.format(hidden=hidden, python=sys.executable, address=made.scheduler_address)
            alone = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", command],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                cwd=tmp_path,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(alone.wait)
            stack.callback(alone.terminate)
            return str(made.scheduler_address)

        yield start


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hidden", "told"),
    [
        ("packs", "does not see the folder of the pack"),
        ("photos", "does not see a source"),
        ("photos/inner", "does not see a source"),
    ],
)
def test_workers_that_do_not_see_a_folder_are_refused(tmp_path, blind_worker, hidden, told):
    source, target = photographs(tmp_path / "photos" / "inner", range(4)), tmp_path / "packs" / "out.h5"
    target.parent.mkdir()
    with pytest.raises(PackError, match=told) as caught:
        pack(source, target, recipe=recipe(), scheduler=blind_worker(tmp_path / hidden))
    assert str(tmp_path / hidden) in str(caught.value)
    assert not list(target.parent.iterdir())


def test_a_late_worker_that_sees_no_source_refuses_the_part(tmp_path):
    with pytest.raises(PackError, match=f"does not see a source[^$]*nothing at {tmp_path / 'gone'}"):
        surroundings.require_sources([str(photographs(tmp_path / "photos", [1])), str(tmp_path / "gone")])


def test_a_source_is_seen_where_there_is_something_of_it(tmp_path):
    mounted, archive = photographs(tmp_path / "photos", [1]), tmp_path / "photos.zip"
    archive.write_bytes(b"")
    (tmp_path / "unmounted").mkdir()
    roots = [str(mounted), str(archive), str(tmp_path / "unmounted"), str(tmp_path / "gone")]
    assert surroundings.unseen(roots) == roots[2:]


def test_without_the_package_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"pip install 'prebake\[cluster\]'"):
        pack(photographs(tmp_path / "photos", [1]), tmp_path / "out.h5", recipe=recipe(), scheduler="tcp://x:1")
