"""What commands print: plain text that reads well in a terminal, in a log and through a pipe."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prebake.files import human_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from rich.table import Table
    from rich.text import Text

    from prebake.auditing import Audit, Clue
    from prebake.bench import BenchResult
    from prebake.bench.result import Spread, Way
    from prebake.demo import Demonstration
    from prebake.explanation import Explanation
    from prebake.metrics import ThresholdGain
    from prebake.prediction import Predictions
    from prebake.runs import CrossValidation, Run
    from prebake.splits import Folds
    from prebake.store import Pack

__all__ = [
    "audited",
    "benchmarked",
    "best",
    "complain",
    "cross_validated",
    "demonstrated",
    "explained",
    "facts",
    "packed",
    "predicted",
    "say",
    "show_notes",
    "split",
    "threshold_gain",
    "trained",
]


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str, *, first: str = "error") -> None:
    """Write an error to standard error, its first word in red on a terminal."""
    plain = not sys.stderr.isatty() or "NO_COLOR" in os.environ
    sys.stderr.write(f"{first}: {text}\n" if plain else f"\x1b[1;31m{first}:\x1b[0m {text}\n")


class _Notes(logging.Handler):
    """Writes what the modules log to the standard error of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"note: {record.getMessage()}\n")


def show_notes() -> None:
    """Show what the user should know although nothing is wrong: warnings of the loggers below ``prebake``."""
    log = logging.getLogger("prebake")
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes(logging.WARNING))


def facts(summary: Mapping[str, object]) -> str:
    """Lay out facts as aligned ``name  value`` lines; longer lists go below their name, an entry a line."""
    summary = {name: value for name, value in summary.items() if f"{name}_text" not in summary}
    width = max(map(len, summary))
    lines = []
    for name, value in summary.items():
        title = f"{name.removesuffix('_text').replace('_', ' '):<{width}}"
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"{title}  {len(value):,}", *("  " + "  ".join(map(str, entry.values())) for entry in value)]
        else:
            lines.append(f"{title}  {_shown(value)}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_shown(entry)}" for name, entry in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "-" if value in (None, "") else str(value)


def _photographs(count: int) -> str:
    return f"{count:,} photograph" + ("s" if count != 1 else "")


def packed(pack: Pack, output: Path) -> str:
    """Sum up a finished pack in two lines: what it holds, and what can be done with it."""
    height, width, _ = pack.shape
    recipe = pack.recipe.name if pack.recipe is not None else "unknown"
    size = human_bytes(output.stat().st_size)
    lines = [f"{output}: {len(pack):,} images {height}x{width}, recipe {recipe}, {pack.codec}, {size}, verified"]
    if pack.failures:
        lines.append(f"{_photographs(len(pack.failures))} could not be baked; prebake info {output} lists them")
    lines.append(f"next: prebake show {output} -o grid.png    prebake train {output} -o run")
    return "\n".join(lines)


def split(folds: Folds, output: Path) -> str:
    """Show how many photographs and labels each fold has, what was kept together, and what is in no fold."""
    counts = folds.counts()
    lines = [["fold", "photographs", *(f"label {label:g}" for label in counts.columns)]]
    for fold, row in zip(folds.numbers, counts.to_numpy().tolist(), strict=True):
        lines.append([str(fold), f"{sum(row):,}", *(f"{count:,}" for count in row)])
    title = f"{output}: {_photographs(int(counts.to_numpy().sum()))} in {len(counts)} folds"
    return "\n".join([title, *_aligned(lines), *_kept(folds)])


def _kept(folds: Folds) -> list[str]:
    """Say what was kept together, and how many photographs are in no fold."""
    found, inside = folds.duplicates, folds.fold >= 0
    patients = {group for group, used in zip(folds.groups, inside, strict=True) if group and used}
    lines = [f"kept together: {len(patients):,} patients"] if patients else []
    if found.clusters:
        kinds = [pair.kind for pair in found.pairs]
        names = {"file": "identical files", "pixels": "identical pixels", "near": "near-duplicates"}
        pairs = ", ".join(f"{kinds.count(kind):,} {name}" for kind, name in names.items() if kind in kinds)
        rows = sum(map(len, found.clusters))
        lines.append(f"kept together: {_photographs(rows)} in {len(found.clusters):,} clusters of duplicates ({pairs})")
    if found.conflicts:
        shown = [" = ".join(f"{found.rows.titles[row]}" for row in rows) for rows in found.conflicts[:5]]
        more = len(found.conflicts) - len(shown)
        lines.append(f"different labels: {', '.join(shown)}" + (f" and {more:,} more clusters" if more else ""))
    if not inside.all():
        lines.append(f"in no fold: {_photographs(int((~inside).sum()))} without a label or of a published test set")
    return lines


def best(run: Run) -> str:
    """Say what the best epoch of a finished run reached."""
    row = run.best()
    return (
        f"{run.path}: best epoch {row['epoch']:.0f} of {len(run.metrics())}, validation loss {row['val_loss']:.4f}, "
        f"kappa {row['val_kappa']:.3f}{_waited(run)}"
    )


def trained(run: Run) -> str:
    """Sum up a finished run: its best epoch and what can be done with it."""
    return f"{best(run)}\nnext: prebake report {run.path}    {_predict(run.path)}"


def _predict(run: Path) -> str:
    return f"prebake predict {shlex.quote(str(run))} PHOTOGRAPHS -o predictions.csv"


def cross_validated(cv: CrossValidation) -> str:
    """Show what each fold reached, what all of them reached out of fold, and the command that uses the result."""
    missing = cv.missing()
    if missing:
        total = len(cv.folds) * cv.repeats
        names = ", ".join(path.relative_to(cv.path).as_posix() for path in missing)
        return f"{cv.path}: {total - len(missing)} of {total} folds are complete; missing: {names}"
    found = cv.summary()
    lines = [["fold", "photographs", "best epoch", "kappa", "MAE"]]
    for score in found.folds:
        name = f"{score.repeat}/{score.fold}" if cv.repeats > 1 else str(score.fold)
        lines.append([name, f"{score.photographs:,}", str(score.best_epoch), f"{score.kappa:.3f}", f"{score.mae:.3f}"])
    whole = f"kappa {found.kappa:.3f} ({found.low:.3f} ... {found.high:.3f}, 95 % interval), MAE {found.mae:.3f}"
    groups = f" in {found.groups:,} groups" if found.groups < found.photographs else ""
    text = [*_aligned(lines), f"out of fold: {whole}; {_photographs(found.photographs)}{groups}"]
    if cv.repeats > 1:
        each = ", ".join(f"{kappa:.3f}" for kappa in found.repeats)
        text.append(f"that is the mean of {cv.repeats} repeats; each by itself: kappa {each}")
    return "\n".join([*text, f"next: {_predict(cv.path)}    prebake thresholds {shlex.quote(str(cv.path))}"])


def _aligned(lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines]


def threshold_gain(gain: ThresholdGain, run: Path) -> str:
    """Show default and fitted thresholds, what each gives, and whether the difference is more than noise."""
    lines = [["", "kappa", "thresholds"]]
    for name, kappa, cuts in (
        ("default", gain.kappa_default, gain.default),
        ("fitted", gain.kappa_fitted, gain.thresholds),
    ):
        lines.append([name, f"{kappa:.3f}", "  ".join(f"{cut:.3f}" for cut in cuts)])
    return "\n".join(
        [
            *_aligned(lines),
            "kappa of the fitted ones is honest: every photograph is graded by thresholds fitted without its part",
            gain.sentence,
            f"next: {_predict(run)}" + (" --thresholds" if gain.worthwhile else ""),
        ]
    )


def _waited(run: Run) -> str:
    share = run.waiting()
    return "" if share is None else f"; waited for data {share:.1%} of the time"


def predicted(predictions: Predictions, output: Path) -> str:
    """Sum up predictions: how many of each grade, how they agree with labels, and what could not be read."""
    table = predictions.table()
    counts = table["diagnosis"].value_counts().sort_index()
    lines = [f"{output}: {_photographs(len(table))}; " + ", ".join(f"grade {g}: {n:,}" for g, n in counts.items())]
    if predictions.failures:
        lines.append(f"{_photographs(len(predictions.failures))} could not be read:")
        lines += [f"  - {failure.id}  ({failure.path}): {failure.reason}" for failure in predictions.failures]
    if predictions.labelled:
        lines += _on_labels(predictions)
    return "\n".join(lines)


def _on_labels(predictions: Predictions) -> list[str]:
    """Say how predictions agree with labels, and what is left of errors when the least certain go to a human."""
    curve = predictions.referral([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    judged = f"{_photographs(len(predictions.judged()))} with a label"
    if curve.reason:
        return [f"{judged}: kappa is undefined: {curve.reason}"]
    lines = [["referred", "left", "kappa", "95 % interval", "accuracy", "kappa if random"]]
    columns = (curve.shares, curve.left, curve.kappa, curve.kappa_low, curve.kappa_high, curve.accuracy)
    for row in zip(*columns, curve.random_kappa, strict=True):
        share, left, kappa, low, high, accuracy, chance = row
        ends = f"{low:.3f} ... {high:.3f}"
        lines.append([f"{share:.0%}", f"{left:,}", f"{kappa:.3f}", ends, f"{accuracy:.0%}", f"{chance:.3f}"])
    return [
        f"{judged}: kappa {lines[1][2]} ({lines[1][3]}), accuracy {lines[1][4]}",
        f"of those left when the least certain go to a human, by {predictions.uncertainty()[0]}:",
        *_aligned(lines),
    ]


def audited(audit: Audit) -> str:
    """Lay out an audit: what was found in sentences, then copies, what each feature tells, and labels."""
    packs = ", ".join(pack.name for pack in audit.packs)
    lines = [f"{packs}: {_photographs(audit.photographs)}"]
    lines += [f"{'!' if finding.serious else '-'} {finding.text}" for finding in audit.findings]
    if audit.copies:
        lines += ["", "Copies (those with different labels first)", _laid_out(_copies_table(audit))]
        if len(audit.copies) > MOST_COPIES:
            lines.append(f"and {len(audit.copies) - MOST_COPIES:,} more: --json lists them, -o FOLDER draws them")
    for scope in audit.shortcuts:
        title = f"What alone predicts the grade: {scope.scope} ({scope.photographs:,} with a label)"
        lines += ["", title, _laid_out(_clue_table("kappa (chance: 0)", scope.clues))]
    for shift in audit.shifts:
        counts = " and ".join(f"{count:,}" for count in shift.photographs)
        title = f"What alone tells {shift.what} {shift.one} from {shift.other} ({counts})"
        lines += ["", title, _laid_out(_clue_table("AUC (chance: 0.5)", shift.clues))]
    lines += ["", "Labels", _laid_out(_parts_table(audit))]
    if audit.patients.count:
        most = max(audit.patients.photographs)
        lines.append(f"{audit.patients.count:,} patients with at most {_photographs(most)} each")
    for pack in audit.packs:
        lines += [f"not in {pack.name}: {each.id}  ({each.path}): {each.reason}" for each in pack.failures]
    return "\n".join(line for text in lines for line in _wrapped(text))


MOST_COPIES = 20
STAGE_NAMES = {"before": "photograph", "after": "baked image"}


def _copies_table(audit: Audit) -> Table:
    from prebake.auditing.words import kinds_of, label_text  # noqa: PLC0415 - only this verb needs them

    table = _columns("known by", numbers=False)
    table.add_column("photographs (label)", overflow="fold")
    for copies in audit.copies[:MOST_COPIES]:
        several = len(audit.packs) > 1
        names = [f"{copy.pack + ':' if several else ''}{copy.id} ({label_text(copy.label)})" for copy in copies.members]
        table.add_row(kinds_of(copies), _plain(" = ".join(names)))
    return table


def _clue_table(measure: str, clues: Sequence[Clue]) -> Table:
    from prebake.auditing.words import range_text, shown  # noqa: PLC0415

    table = _columns("of the", "feature", numbers=False)
    table.add_column(measure, justify="right", no_wrap=True)
    table.add_column("95 % interval", overflow="fold")
    stage = ""
    for clue in clues:
        first = "" if clue.stage == stage else STAGE_NAMES[clue.stage]
        stage = clue.stage
        table.add_row(first, clue.name, shown(clue.value), clue.reason or range_text(clue.low, clue.high))
    return table


def _parts_table(audit: Audit) -> Table:
    labels = sorted({label for part in audit.parts for label in part.labels})
    table = _columns("pack", "source", "split", numbers=False)
    for name in (*(f"{label:g}" for label in labels), "none"):
        table.add_column(name, justify="right")
    for part in audit.parts:
        names = [_plain(name or "-") for name in (part.pack, part.source, part.split)]
        table.add_row(*names, *(f"{part.labels.get(label, 0):,}" for label in labels), f"{part.missing:,}")
    return table


def explained(explanation: Explanation, output: Path) -> str:
    """Say in a line what the model says of a photograph, and where the picture of its reasons lies."""
    return f"{explanation.id}: grade {explanation.diagnosis}, raw value {explanation.raw:.2f}: {output}"


WIDTH = 80
STAGES = ("read", "decode", "preprocess", "augment", "copy", "step")
WAYS = {
    "photographs": "every epoch from\nthe photographs",
    "published": "packed and\nread as in 2019",
    "prebake": "prebake",
}
WAY_NAMES = {"photographs": "from the photographs", "published": "as in 2019", "prebake": "with prebake"}


def benchmarked(result: BenchResult) -> str:
    """Lay out a benchmark: where an epoch's time goes, what all photographs take, codecs, disk, what is slowest."""
    what = "images" if result.disk is None else "photographs"
    lines = [
        f"{result.source}: {result.count:,} {what}, {result.sampled} of them measured in {result.seconds:.0f} s",
        f"recipe {result.recipe}, {result.size} x {result.size}; {_trained_with(result)}",
        f"{result.machine}; {result.workers} process{'es' if result.workers > 1 else ''} each way",
        *(f"note: {note}" for note in result.notes),
    ]
    lines += [f"left out: {failure.id}  ({failure.path}): {failure.reason}" for failure in result.left_out]
    if any(result.epoch_parts(way) for way in result.ways):
        lines += ["", "An epoch, milliseconds for each photograph, as it ran", _laid_out(_epoch_table(result))]
    if any(cost.seconds[way.name] is not None for cost in result.costs() for way in result.ways):
        title = f"All {result.count:,} {what}, in proportion to those measured"
        lines += ["", title, _laid_out(_cost_table(result)), *_on_packing(result)]
    lines += ["", f"Baked images in each codec, on one core; the pack of all {result.count:,}"]
    lines += [_laid_out(_codec_table(result)), f"--codec auto takes {result.codec}: {result.codec_reason}"]
    lines += ["", *_on_the_disk(result), *_on_bottlenecks(result)]
    return "\n".join(line for text in lines for line in _wrapped(text))


def _wrapped(text: str) -> list[str]:
    """Break sentences that are too long for a terminal; tables fit, and stay as they are."""
    if len(text) <= WIDTH or "\n" in text:
        return [text]
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _trained_with(result: BenchResult) -> str:
    if result.model is None:
        return "no model"
    return f"{result.model} on {result.device}, batches of {result.batch_size}"


def _laid_out(table: Table) -> str:
    from rich.console import Console  # noqa: PLC0415 - only this verb draws tables

    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def _plain(text: str) -> Text:
    """Keep what comes from data from being read as markup."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text)


def _columns(first: str, *others: str, numbers: bool = True) -> Table:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    return table


def _epoch_table(result: BenchResult) -> Table:
    table = _columns("", *(WAYS[way.name] for way in result.ways))
    parts = [result.epoch_parts(way) for way in result.ways]
    for stage in STAGES:
        if any(stage in part for part in parts):
            cells = [_part(part, stage) for part in parts]
            table.add_row("step of the model" if stage == "step" else stage, *cells)
    table.add_row("whole", *(f"{1000 * sum(part.values()):,.1f} 100 %" if part else "-" for part in parts))
    wholes = [way.epoch or way.loading for way in result.ways]
    rounds = next(whole.rounds for whole in wholes if whole is not None)
    table.add_row(f"(least ... most of {rounds} rounds)", *(_range(whole) for whole in wholes))
    table.add_row("loading alone, images/s", *(_rate(way.loading) for way in result.ways))
    return table


def _part(parts: Mapping[str, float], stage: str) -> str:
    if stage not in parts:
        return "-"
    return f"{1000 * parts[stage]:,.1f} {100 * parts[stage] / sum(parts.values()):3.0f} %"


def _range(spread: Spread | None) -> str:
    return "-" if spread is None else f"{1000 * spread.low:,.1f} ... {1000 * spread.high:,.1f}"


def _rate(spread: Spread | None) -> str:
    return "-" if spread is None else f"{1 / spread.median:,.0f}" if spread.median < 0.1 else f"{1 / spread.median:.1f}"


def _cost_table(result: BenchResult) -> Table:
    table = _columns("", *(WAYS[way.name] for way in result.ways))
    for cost in result.costs():
        table.add_row(cost.what, *(_duration(cost.seconds[way.name]) for way in result.ways))
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if minutes < 100 else f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.1f} days"


def _on_packing(result: BenchResult) -> list[str]:
    lines, even, way = [], result.break_even(), result.way("prebake")
    if even is not None:
        pays = "within the 1st epoch" if even <= 1 else f"after {even:.1f} epochs" if even < float("inf") else "never"
        lines.append(f"packing with prebake pays {pays}, against decoding in every epoch as in 2019")
    if way is not None and way.packing is not None and result.way("photographs") is not None:
        each = _duration(way.packing.median * result.count)
        lines.append(f"baking with prebake itself, but anew in every epoch, would add up to {each} to each")
        if result.recipe != "kernel":
            lines.append(f"only prebake does recipe {result.recipe}; the other two preprocess as published in 2019")
    return lines


def _codec_table(result: BenchResult) -> Table:
    table = _columns("", "size", "pack", "encode, images/s", "decode, images/s")
    for codec in result.codecs:
        size = human_bytes(codec.share * result.count * result.size**2 * 3)
        table.add_row(codec.name, f"{codec.share:.2f}", size, f"{codec.encode:,.0f}", f"{codec.decode:,.0f}")
    return table


def _on_the_disk(result: BenchResult) -> list[str]:
    disk = result.disk
    if disk is None:
        return []
    size = human_bytes(disk.total_bytes)
    fits = disk.total_bytes * 2 < disk.memory
    again = "only the first epoch has to" if fits else "they do not fit into memory, so every epoch has to"
    if disk.speed is None:
        return [f"disk: {size} of files; not measured, for the system kept the files in memory; {again} read them"]
    took = _duration(disk.total_bytes / disk.speed)
    return [f"disk: {size} of files at {human_bytes(disk.speed)}/s, not from memory: {took}; {again} read them"]


def _on_bottlenecks(result: BenchResult) -> list[str]:
    lines = []
    for way in result.ways:
        found = result.bottleneck(way)
        if found is not None:
            lines.append(f"slowest {WAY_NAMES[way.name]}: {_slowest(*found)}{_advice(result, way, found[0])}")
    return lines


def _slowest(stage: str, share: float) -> str:
    return f"{'the step of the model' if stage == 'step' else stage}, {100 * share:.0f} % of an epoch"


def _advice(result: BenchResult, way: Way, stage: str) -> str:
    if way.name == "photographs" and stage in ("read", "decode", "preprocess"):
        return "; packing does that once"
    headroom = result.headroom()
    if way.name != "prebake" or headroom is None:
        return ""
    times = f"{headroom:,.1f}" if headroom < 10 else f"{headroom:,.0f}"
    rates = f"{_rate(way.loading)} images/s, the model takes {_rate(result.step)}"
    return f"; the loader alone gives {rates}: {times} times as many"


def demonstrated(result: Demonstration) -> str:
    """Say where the results of the demonstration lie."""
    return f"open this in a browser: {result.report}"
