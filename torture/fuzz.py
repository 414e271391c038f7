"""Does a file of a stranger bring prebake down? Breaks packs and run folders, opens each in a process of its own.

python torture/fuzz.py [--seconds 300] [--cases N] [--seed 0] [--first 0] [--keep FOLDER]

Packs of each codec and files as the 2019 kernel wrote them are broken at random (bits, numbers, blocks cut, doubled or
taken from another file), or rewritten with hostile values under a right digest. Run folders and cross-validations have
values of their JSON and cells of their tables replaced, files broken, gone, or turned into links. Then everything is
read: all columns and images of a pack; all tables, pictures and settings of a folder, and its report is written.

Each must be read or be refused with an error of prebake. A process that dies (also of taking longer than --time-limit),
takes more memory than --memory-limit, or ends with another error is wrong. Prints a table and the wrong cases; case N
of a seed is made again by --first N --cases 1. Ends with 1 where something is wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import resource
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from flips import alone, drawn, view

from prebake.config import TrainConfig
from prebake.errors import PrebakeError
from prebake.fundus_art import generate  # noqa: F401 - loaded before processes are forked
from prebake.recipe import Recipe
from prebake.report import write_report
from prebake.runs import CrossValidation, Run, RunWriter, Worst, open_run
from prebake.store import Pack, layout, summary

Random = np.random.Generator

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
WAITING = 10  # times the processor's time that a case may take on the clock: other processes may have the processor
TEXTS = (
    "",
    "\0",
    "../../x",
    "/etc/passwd",
    "x" * 70_000,
    "é\u202e\x1b[2J",
    "=1+1",
    "<script>",
    "-o",
    "NaN",
    "[" * 5000,
    "{}",
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 3, 10**400, 2**63, 1e308, -0.0, math.nan, math.inf),
    *([], {}, [[]], {"a": 1}, [1, "a", None]), *TEXTS,
)  # fmt: skip


# -- bytes ------------------------------------------------------------------------------------------------------------


def broken(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Break bytes in one to eight places."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if not out:
            break
        # the beginning of a file is its structure more often than not
        at = int(rng.integers(len(out)) if rng.random() < 0.5 else rng.integers(min(len(out), 4096)))
        length = int(rng.integers(1, 64))
        kind = rng.integers(8)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[at] = int(rng.integers(256))
        elif kind <= 4:
            width = int(rng.choice([1, 2, 4, 8]))
            number = int(rng.choice(np.array([*NUMBERS, len(out), len(out) - 1, at], object)))
            out[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
        elif kind == 5:
            del out[at : at + length]
        elif kind == 6:
            start = int(rng.integers(len(out)))
            out[at : at + length] = out[start : start + length]
        else:
            other = others[int(rng.integers(len(others)))]
            start = int(rng.integers(len(other) + 1))
            out[at : at + length] = other[start : start + length]
    if rng.random() < 0.05:
        del out[int(rng.integers(len(out) + 1)) :]
    return bytes(out)


# -- packs ------------------------------------------------------------------------------------------------------------


def packs(folder: Path) -> list[Path]:
    """Return whole packs, and bare files with ids and chunks of all kinds."""
    paths = drawn(folder)
    pixels = Pack(paths[0]).read(range(4))
    names = {"fixed": np.array([b"a", b"b", b"c", b"d"]), "long": ["a", "b" * 5000, "", "d"]}
    for chunk in ((1, *pixels.shape[1:]), (2, *pixels.shape[1:]), (3, 20, 64, 1)):
        for name, ids in names.items():
            for version in ("earliest", "latest"):
                path = folder / f"bare-{chunk[0]}-{name}-{version}.h5"
                with h5py.File(path, "w", libver=version) as file:
                    file.create_dataset("images", data=pixels, chunks=chunk, compression="gzip", shuffle=chunk[0] == 2)
                    file["id_code"] = ids
                paths.append(path)
    return paths


def lying(source: Path, target: Path, rng: Random) -> None:
    """Rewrite attributes and columns of a pack with hostile values, under the digest that they then have."""
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        if "format" not in file.attrs:
            return
        for _ in range(int(rng.integers(1, 4))):
            name = str(rng.choice([*layout.TEXT_ATTRIBUTES, *(column.name for column in layout.COLUMNS)]))
            if name in layout.TEXT_ATTRIBUTES:
                value = VALUES[rng.integers(len(VALUES))]
                said = file.attrs[name].decode()
                told = json.loads(said) if said.startswith("{") else {}
                text = str(rng.choice(TEXTS)) if rng.random() < 0.3 else json.dumps(replaced(told, value, rng))
                data = text.encode(errors="surrogatepass").replace(b"\0", b"0")[: layout.MAX_ATTRIBUTE_BYTES] or b"0"
                file.attrs.create(name, np.bytes_(data), dtype=f"S{len(data)}")
                continue
            values = file[name][()]
            if values.dtype.kind == "S":
                values[:] = [str(rng.choice(TEXTS)).encode()[: values.dtype.itemsize] for _ in values]
            else:
                values.view(np.uint8)[...] = rng.choice([0, 127, 128, 255], values.view(np.uint8).shape)
            file[name][...] = values
        attributes = {name: file.attrs[name].decode() for name in layout.TEXT_ATTRIBUTES}
        columns = {column.name: file[column.name][()] for column in layout.COLUMNS}
        columns |= {f"failures/{column.name}": file[f"failures/{column.name}"][()] for column in layout.FAILURE_COLUMNS}
        file.attrs["columns_digest"] = np.bytes_(layout.columns_digest(attributes, file["images"].shape, columns))


def break_pack(seeds: Sequence[Path], target: Path, rng: Random) -> str:
    """Write a broken pack; return what was done to which."""
    source = seeds[int(rng.integers(len(seeds)))]
    if source.stem in ("raw", "zstd", "gzip") and rng.random() < 0.3:
        lying(source, target, rng)
        return f"{source.name}, lying"
    others = [path.read_bytes() for path in seeds]
    target.write_bytes(broken(source.read_bytes(), others, rng))
    return f"{source.name}, broken"


def read_pack(path: Path) -> str:
    """Read everything of a pack; return what came of it."""
    try:
        pack = Pack(path)
    except PrebakeError:
        return "refused"
    uses: list[Callable[[], object]] = [
        pack.verify,
        lambda: view(pack),
        lambda: summary(pack),
        lambda: (pack.recipe, pack.fill),
        lambda: pack.header if pack.columns else None,
        pack.table,
        lambda: pack.digest,
        lambda: pack.index_of(pack.ids[0]) if len(pack) else None,
    ]
    return used(uses)


def used(uses: Sequence[Callable[[], object]]) -> str:
    """Use what was opened in all ways; say whether any was refused."""
    said = "read"
    for use in uses:
        try:
            use()
        except PrebakeError:
            said = "refused in part"
    return said


# -- folders ----------------------------------------------------------------------------------------------------------


def folders(folder: Path) -> list[Path]:
    """Write a run, and a cross-validation that is not complete."""
    cv = folder / "cv"
    run(folder / "run")
    for number in range(2):
        run(cv / f"fold-{number}", fold=number)
    writer = RunWriter(cv)
    writer.write_config(TrainConfig(model="test_efficientnet", epochs=3))
    writer.write_recipe(Recipe.named("kernel", 16))
    told = {"format": 1, "state": "training", "folds": [0, 1], "made": True, "repeats": 1, "packs": packs_told()}
    shutil.copyfile(folder / "run" / "thresholds.json", cv / "thresholds.json")
    (cv / "cv.json").write_text(json.dumps({**told, "versions": {"prebake": "0.1.0"}, "command": ["prebake", "cv"]}))
    return [folder / "run", cv]


def packs_told() -> list[dict[str, object]]:
    """Return what a folder says of its packs."""
    return [{"name": "p", "path": "/nowhere/p.h5", "digest": "0" * 32, "rows": 24}]


def run(folder: Path, fold: int = 0) -> None:
    """Write a run of made-up numbers."""
    import pandas as pd  # noqa: PLC0415 - only here

    rng, writer, count = np.random.default_rng(fold), RunWriter(folder), 24
    labels = np.arange(count) % 5 * 1.0
    raw = labels + rng.normal(0, 0.5, count)
    ids = [f"id{fold}{row}" for row in range(count)]
    said = pd.DataFrame({"id_code": ids, "pack": "p", "label": labels, "group": "", "raw": raw})
    writer.write_config(TrainConfig(model="test_efficientnet", epochs=3))
    writer.write_recipe(Recipe.named("kernel", 16))
    writer.write_split(said.drop(columns="raw").assign(part="val"))
    writer.write_validation(said.assign(diagnosis=raw.round().clip(0, 4).astype(int)))
    columns = ("train_loss", "val_loss", "val_kappa", "val_mae", "val_accuracy", "lr", "seconds", "waiting")
    writer.write_metrics([{"epoch": epoch, **dict.fromkeys(columns, 1 / epoch)} for epoch in (1, 2, 3)])
    worst = rng.integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    writer.write_worst(Worst(worst, tuple(ids[:3]), labels[:3].astype(np.float32), raw[:3].astype(np.float32)))
    (folder / "best.safetensors").write_bytes(b"not looked into")
    fitted = {"thresholds": [0.5, 1.5, 2.5, 3.5], "worthwhile": False, "sentence": "keep the default"}
    (folder / "thresholds.json").write_text(json.dumps(fitted))
    given = {"size": 16, "mean": [0.5] * 3, "std": [0.5] * 3, "fill": [0, 0, 0]}
    told = {"state": "complete", "created": "2025", "model": "test_efficientnet", "packs": packs_told(), "input": given}
    counts = {"n_train": 0, "n_val": count, "n_unlabelled": 0, "n_test": 0, "best_epoch": 3, "seconds": 3.5}
    more = {"thresholds": [0.5, 1.5, 2.5, 3.5], "versions": {"prebake": "0.1.0"}, "fold": fold}
    writer.write_info({**told, **counts, **more})


def replaced(value: Any, by: Any, rng: Random) -> Any:
    """Return plain data with one of its parts replaced, taken away or under another name."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return by
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[int(rng.integers(len(keys)))]
    copy = value.copy()
    what = rng.integers(10)
    if what == 0:
        del copy[key]
    elif what == 1 and isinstance(copy, dict):
        copy[str(rng.choice(TEXTS))] = by
    else:
        copy[key] = replaced(value[key], by, rng)
    return copy


def break_folder(seeds: Sequence[Path], target: Path, rng: Random) -> str:
    """Write a broken folder; return what was done to which file."""
    source = seeds[int(rng.integers(len(seeds)))]
    shutil.copytree(source, target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    done = []
    for _ in range(int(rng.integers(1, 3))):
        path = files[int(rng.integers(len(files)))]
        if not path.is_file() or path.is_symlink():
            continue
        kind = rng.random()
        if kind < 0.05:
            path.unlink()
        elif kind < 0.08:
            path.unlink()
            path.symlink_to("/etc/passwd")
        elif kind < 0.1:
            path.unlink()
            path.mkdir()
        elif kind < 0.3:
            path.write_bytes(broken(path.read_bytes(), [file.read_bytes() for file in files if file.is_file()], rng))
        elif path.suffix == ".json":
            told = json.loads(path.read_text(errors="replace")) if done == [] else {}
            path.write_text(json.dumps(replaced(told, VALUES[rng.integers(len(VALUES))], rng)))
        elif path.suffix == ".csv":
            lines = [line.split(",") for line in path.read_text(errors="replace").splitlines()]
            row = int(rng.integers(len(lines)))
            lines[row][int(rng.integers(len(lines[row])))] = str(
                rng.choice([*TEXTS, "", "nan", "inf", "1e999", "-1", "9" * 40])
            )
            path.write_text("\n".join(",".join(line) for line in lines))
        else:
            path.write_bytes(broken(path.read_bytes(), [b"PK\1\2", b"PK\3\4"], rng))
        done.append(path.relative_to(target).as_posix())
    return f"{source.name}: {', '.join(done)}"


def read_folder(path: Path) -> str:
    """Read everything of a folder and write its report; return what came of it."""
    try:
        opened = open_run(path)
    except PrebakeError:
        return "refused"
    uses: list[Callable[[], object]] = [lambda: opened.config, lambda: opened.recipe, opened.fitted]
    if isinstance(opened, Run):
        uses += [opened.split, opened.metrics, opened.validation, opened.judged, opened.worst, opened.best]
        uses += [opened.waiting, lambda: opened.weights, lambda: page(opened)]
    else:
        uses += [opened.begun, opened.missing, lambda: opened.members, opened.oof_so_far, opened.curves]
        uses += [lambda: opened.judged(so_far=True), lambda: opened.summary(so_far=True)]
    return used(uses)


def page(opened: Run | CrossValidation) -> None:
    """Write the report and see to it that nothing in it is alive."""
    text = write_report(opened, opened.path / "page.html").read_text(encoding="utf-8")
    if "<script" in text:
        raise AssertionError("the page has a script")


# -- the loop ---------------------------------------------------------------------------------------------------------


def limited(use: Callable[[Path], str], seconds: float, gigabytes: float) -> Callable[[Path], str]:
    """Return ``use`` with limits of processor time, and of memory beyond what the process has already."""

    def work(path: Path) -> str:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + int(gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
        warnings.simplefilter("ignore")
        return use(path)

    return work


def main(arguments: Sequence[str] | None = None) -> int:
    """Make cases until the time is over, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--time-limit", type=float, default=20, help="seconds of processor time for each case")
    parser.add_argument("--memory-limit", type=float, default=2, help="gigabytes for each case")
    parser.add_argument("--keep", type=Path, help="where to put the cases that are wrong")
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    counts: dict[str, Counter[str]] = {"pack": Counter(), "folder": Counter()}
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        seeds, target = (Path(scratch, "packs"), Path(scratch, "folders")), Path(scratch, "case")
        seeds[0].mkdir()
        limits = (options.time_limit, options.memory_limit)
        kinds = [
            ("pack", packs(seeds[0]), break_pack, limited(read_pack, *limits)),
            ("folder", folders(seeds[1]), break_folder, limited(read_folder, *limits)),
        ]
        end, number = time.monotonic() + options.seconds, options.first
        while time.monotonic() < end and number < options.first + options.cases:
            kind, sources, breaks, reads = kinds[number % 3 == 2]  # a folder takes longer than a pack
            what = breaks(sources, target, np.random.default_rng([options.seed, number]))
            how, said = alone(reads, target, WAITING * options.time_limit)
            counts[kind][said if how == "done" else f"WRONG: {how}"] += 1
            if how != "done":
                wrong.append(f"WRONG: case {number}, {what}: {how} {said or ''}"[:600])
                print(wrong[-1], flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    shutil.move(target, options.keep / f"case-{number}")
            if target.exists():
                shutil.rmtree(target) if target.is_dir() else target.unlink()
            number += 1
    for kind, found in counts.items():
        print(
            f"{kind:8}{found.total():7} cases: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
        )
    print(f"{len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
