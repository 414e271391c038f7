"""Packs, runs and weights from strangers run no code, stay inside what was named, and take no more than they are."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prebake.errors import RunError, WeightsError
from prebake.models import build_model
from prebake.report import write_report
from prebake.runs import BEST, CHECKPOINTS, CV, INFO, LOGS, CrossValidation, Run
from prebake.runs.arrays import read_arrays
from prebake.training import fit
from report_helpers import make_cv, make_run
from training_helpers import make_pack, tiny

SOURCE = Path(__file__).resolve().parents[1] / "src"


def test_nothing_in_the_sources_unpickles_evaluates_or_unpacks() -> None:
    forbidden = re.compile(
        r"""\bpickle\.loads?\b|\bUnpickler\b|allow_pickle\s*=\s*True|\bnp\.load\(|\bjoblib\b|\bshelve\b|\bmarshal\b|\bdill\b
        |\byaml\b|read_pickle|to_pickle|\beval\(\s*[^)]|(?<![\w.])exec\(|extractall|\.extract\(|weights_only\s*=\s*False
        |shell\s*=\s*True|os\.system""",
        re.VERBOSE,
    )
    torch_load = re.compile(r"torch\.load\((?![^)]*weights_only=True)")
    found = [
        f"{path.name}:{number}: {line.strip()}"
        for path in SOURCE.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line) or torch_load.search(line)
    ]
    assert [line for line in found if ".eval()" not in line] == []


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    return tmp_path / "sprung"


def test_a_run_whose_weights_would_run_code_is_refused(tmp_path: Path, sprung: Path) -> None:
    run = make_run(tmp_path / "run", pictures=1)
    torch.save({"weight": Trap(sprung)}, run.path / BEST)
    from prebake.models import load_run_model

    with pytest.raises(WeightsError, match=BEST):
        load_run_model(run)
    assert not sprung.exists()


def test_pictures_that_would_run_code_are_refused(tmp_path: Path, sprung: Path) -> None:
    run = make_run(tmp_path / "run", pictures=1)
    arrays = {"images": np.zeros((1, 4, 4, 3), np.uint8), "labels": np.zeros(1), "raw": np.zeros(1)}
    np.savez(run.path / "worst.npz", ids=np.array([Trap(sprung)], object), **arrays)
    with pytest.raises(RunError, match=r"worst\.npz"):
        run.worst()
    assert not sprung.exists()


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("pack") / "a.h5", 20)


@pytest.fixture
def begun(pack: Path, tmp_path: Path) -> Path:
    """A training that was interrupted, as one's own or a stranger's."""
    from prebake.training.watch import Checkpoints

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_epoch_start", _interrupt)
        with pytest.raises(Interrupted):
            fit(pack, tmp_path / "run", tiny())
    return tmp_path / "run"


class Interrupted(Exception):
    """Stands for whatever may happen."""


def _interrupt(_: object, trainer: Any, __: object) -> None:
    if trainer.current_epoch == 1:
        raise Interrupted


@pytest.mark.parametrize("kind", ["pickle", "torch", "inside a checkpoint", "junk", "compressed", "of something else"])
def test_a_checkpoint_that_would_run_code_or_is_none_is_refused(
    begun: Path, pack: Path, sprung: Path, kind: str
) -> None:
    import pickle

    path = begun / CHECKPOINTS / "last.ckpt"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    elif kind == "torch":
        torch.save(Trap(sprung), path)
    elif kind == "inside a checkpoint":
        torch.save({**torch.load(path, weights_only=True), "callbacks": Trap(sprung)}, path)
    elif kind == "junk":
        path.write_bytes(b"junk" * 99)
    elif kind == "of something else":
        torch.save({"state_dict": {}}, path)
    else:
        compress(path)
    with pytest.raises(RunError, match=r"last\.ckpt is not a checkpoint"):
        fit(pack, begun, tiny())
    assert not sprung.exists()
    path.unlink()
    assert fit(pack, begun, tiny()).complete


def compress(path: Path) -> None:
    """Write an archive anew, deflated: what it takes in memory has nothing to do with its size."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_weights_that_are_compressed_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1 << 20)}, tmp_path / "bomb.pth")
    compress(tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match=r"bomb\.pth.*claim 41\d{5} bytes"):
        build_model("test_efficientnet", tmp_path / "bomb.pth")


@pytest.mark.parametrize("name", [CHECKPOINTS, LOGS, f"{CHECKPOINTS}/last.ckpt", "metrics.csv"])
def test_a_training_does_not_go_on_through_a_link_that_leads_out(
    begun: Path, pack: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    if (begun / name).exists():
        (begun / name).replace(outside)
    else:
        outside.mkdir()
    (begun / name).symlink_to(outside)
    before = sorted(tmp_path.rglob("outside/*"))
    with pytest.raises(RunError, match="leads out of the run folder"):
        fit(pack, begun, tiny())
    assert sorted(tmp_path.rglob("outside/*")) == before


def test_a_fold_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    cv = make_cv(tmp_path / "cv", count=30)
    (cv.path / "fold-1").replace(tmp_path / "private")
    (cv.path / "fold-1").symlink_to(tmp_path / "private")
    for use in (CrossValidation.begun, CrossValidation.oof_so_far, write_report):
        with pytest.raises(RunError, match=r"fold-1 leads out of the run folder"):
            use(CrossValidation(cv.path))
    assert not (cv.path / "report.html").exists()


def rewritten(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"folds": ["../../etc", 1]}, "folds"),
        ({"folds": [-1, 0]}, "folds"),
        ({"folds": [0, 10**400]}, "folds"),
        ({"folds": list(range(10_001))}, "at most 10000 runs"),
        ({"repeats": 10**9}, "at most 10000 runs"),
        ({"packs": [{"path": 3}]}, "packs"),
        ({"packs": [{"rows": "3"}]}, "packs"),
        ({"seconds": "long"}, "wrong kind"),
    ],
)
def test_a_cross_validation_that_claims_what_cannot_be_is_refused(
    tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    cv = make_cv(tmp_path / "cv", count=30)
    rewritten(cv.path / CV, **values)
    with pytest.raises(RunError, match=words):
        CrossValidation(cv.path)


@pytest.mark.parametrize(
    "values",
    [
        {"input": {"size": 10**9, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"input": {"size": True, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"input": {"size": 8, "mean": [0, 0, float("nan")], "std": [1, 1, 1]}},
        {"thresholds": [10**400]},
        {"n_test": "3"},
        {"seconds": float("inf")},
    ],
)
def test_a_run_that_claims_what_cannot_be_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", pictures=1)
    rewritten(run.path / INFO, **values)
    with pytest.raises(RunError):
        Run(run.path)


def test_files_that_are_too_large_or_too_deep_are_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", pictures=1)
    (run.path / INFO).write_text('{"format": ' + "[" * 100_000)
    with pytest.raises(RunError, match="cannot be read"):
        Run(run.path)
    with (run.path / INFO).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunError, match="too large"):
        Run(run.path)
    with (run.path / "metrics.csv").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunError, match="too large"):
        run.metrics()


# -- what claims to be large ------------------------------------------------------------------------------------------


def claiming(shape: tuple[int, ...], dtype: Any = np.uint8, *, data: bytes = b"", method: int = 0) -> Any:
    """Return a writer of an .npz whose one array claims a shape."""

    def write(path: Path) -> None:
        head = io.BytesIO()
        described = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(head, described)
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("images.npy", head.getvalue() + data)

    return write


@pytest.mark.parametrize(
    "write",
    [
        claiming((1 << 40, 4, 4, 3)),
        claiming((1 << 62, 1 << 62)),
        claiming((-1, 4)),
        claiming((3,), "U100000000"),
        claiming((1 << 30,), data=bytes(1 << 22), method=zipfile.ZIP_DEFLATED),
        claiming((4,), data=b"abc"),
        claiming((4,), data=b"abcd", method=zipfile.ZIP_LZMA),
        claiming((1,), object, data=b"abcd"),
    ],
    ids=range(8),
)
def test_an_array_that_claims_what_is_not_there_takes_no_memory(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "a.npz")
    with pytest.raises(ValueError):  # noqa: PT011 - the message is of many kinds
        read_arrays(tmp_path / "a.npz", ["images"], 1 << 31)


def test_arrays_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    arrays = {"a": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "b": np.array(["é", "NA"]), "c": np.zeros((0, 3))}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        for mine, theirs in zip(read_arrays(tmp_path / "a.npz", "abc", 1 << 20), arrays.values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(ValueError, match="where there can be"):
        read_arrays(tmp_path / "a.npz", "abc", 50)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))
from pathlib import Path
from prebake.errors import PrebakeError
from prebake.sources import read_bytes, scan
for path in sys.argv[1:]:
    try:
        for sample in scan(path):
            read_bytes(sample)
    except PrebakeError as error:
        print(str(error).splitlines()[0])
"""


def lying_zip(path: Path, name: str, *, claimed: int, actual: int, link: bool = False) -> Path:
    """Write a .zip whose member inflates to another size than the directory tells."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    if link:
        info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, bytes(actual))
    data = path.read_bytes()
    path.write_bytes(data.replace(actual.to_bytes(4, "little"), claimed.to_bytes(4, "little")))
    return path


def test_archives_that_claim_or_hide_gigabytes_take_no_memory(tmp_path: Path) -> None:
    hiding = lying_zip(tmp_path / "hiding.zip", "a.png", claimed=100, actual=3 << 29)
    link = lying_zip(tmp_path / "link.zip", "a.png", claimed=100, actual=3 << 29, link=True)
    table = lying_zip(tmp_path / "table.zip", "labels.csv", claimed=100, actual=3 << 29)
    claiming = lying_zip(tmp_path / "claiming.zip", "a.png", claimed=0xFFFFFFF0, actual=1 << 20)
    entry = tarfile.TarInfo("a.png")
    entry.size = 1 << 40
    (tmp_path / "claiming.tar").write_bytes(entry.tobuf() + bytes(10240))
    paths = [hiding, link, table, claiming, tmp_path / "claiming.tar"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(paths)
