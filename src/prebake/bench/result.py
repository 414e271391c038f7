"""What a benchmark found: plain frozen data, with everything that follows from it by arithmetic."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from prebake.bench.projection import Cost, break_even, costs, parts_of_an_epoch

if TYPE_CHECKING:
    from prebake.records import Failure

__all__ = ["BenchResult", "CodecSpeed", "Disk", "Spread", "Way"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds for each photograph: the median of the rounds, the fastest and the slowest of them."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sum up what the rounds gave."""
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True)
class Way:
    """One way of training, measured. All times are seconds for each photograph; ``None`` is not measured.

    Parameters
    ----------
    name
        ``"photographs"``: every epoch decodes and preprocesses them, as in 2019. ``"published"``: packed once, as
        published in 2019, then read by its Dataset. ``"prebake"``.
    stages
        Seconds on one core, by stage, before the model has the image: out of ``read, decode, preprocess, augment,
        copy``.
    epoch
        An epoch with the step of the model, as it really ran; without it where there is no model.
    loading
        The same without the step.
    packing
        Packing, all processes together.
    start
        Seconds, once, until the processes that pack are there.
    """

    name: str
    stages: Mapping[str, float]
    epoch: Spread | None = None
    loading: Spread | None = None
    packing: Spread | None = None
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class CodecSpeed:
    """One codec on the baked images: size for each byte of pixels, images a second on one core."""

    name: str
    share: float
    encode: float
    decode: float


@dataclass(frozen=True, slots=True)
class Disk:
    """Reading the files of the photographs from the disk, one after the other.

    Parameters
    ----------
    total_bytes
        Of all photographs of the source.
    memory
        Bytes that this machine has.
    speed
        Bytes a second, after the operating system was asked to forget the files; ``None`` where it did not.
    """

    total_bytes: int
    memory: int
    speed: float | None


@dataclass(frozen=True)
class BenchResult:
    """What :func:`prebake.bench.measure` found.

    Parameters
    ----------
    source
        What was measured.
    count
        Photographs in the source (images, where it is a pack).
    sampled
        How many of them were measured.
    left_out
        Those of the sample that cannot be read or baked.
    recipe, size, codec, codec_reason
        How prebake packed, and why in this codec.
    model, device, batch_size, workers
        What was trained, on what; processes of the two old ways, and processes and threads of prebake.
    ways
        The ways of training, in the order of the columns.
    step
        The step of the model alone, seconds for each photograph.
    codecs
        Every codec on the baked images.
    disk
        Reading the files; ``None`` for a pack.
    seconds
        How long the measuring took.
    machine, versions
        Where, and with what.
    notes
        What could not be measured, and what would have to be done for it.
    """

    source: str
    count: int
    sampled: int
    left_out: tuple[Failure, ...]
    recipe: str
    size: int
    codec: str
    codec_reason: str
    model: str | None
    device: str
    batch_size: int
    workers: int
    ways: tuple[Way, ...]
    step: Spread | None
    codecs: tuple[CodecSpeed, ...]
    disk: Disk | None
    seconds: float
    machine: str
    versions: str
    notes: tuple[str, ...] = field(default=())

    def way(self, name: str) -> Way | None:
        """Return the way of that name, ``None`` where it was not measured."""
        return next((way for way in self.ways if way.name == name), None)

    def epoch_parts(self, way: Way) -> dict[str, float]:
        """Return where an epoch's time goes: seconds for each photograph by stage, ``step`` last.

        They add up to ``way.epoch`` (to ``way.loading`` where there was no model).
        """
        whole = way.epoch or way.loading
        if whole is None:
            return {}
        return parts_of_an_epoch(way.stages, whole.median, self.step.median if self.step and way.epoch else 0.0)

    def costs(self) -> list[Cost]:
        """Return what packing, one epoch, 10 epochs and 5 folds of 10 epochs take for all photographs, by way."""
        ways = {}
        for way in self.ways:
            packing = None if way.packing is None else way.start + way.packing.median * self.count
            whole = way.epoch or way.loading
            ways[way.name] = (packing, None if whole is None else whole.median * self.count)
        return costs(ways)

    def break_even(self) -> float | None:
        """Return the epochs after which packing has paid: 0.4 is within the first one, ``inf`` never.

        ``None`` where epochs or packing were not measured.
        """
        old, new = self.way("photographs"), self.way("prebake")
        if old is None or new is None or new.packing is None:
            return None
        before, after = old.epoch or old.loading, new.epoch or new.loading
        if before is None or after is None:
            return None
        return break_even(new.start + new.packing.median * self.count, before.median, after.median, self.count)

    def headroom(self) -> float | None:
        """Return how many times as many images prebake's loader gives as the model takes; ``None``: not measured."""
        way = self.way("prebake")
        if way is None or way.loading is None or self.step is None:
            return None
        return self.step.median / way.loading.median

    def bottleneck(self, way: Way) -> tuple[str, float] | None:
        """Return the stage that takes most of an epoch and its share; ``None`` where no epoch was measured."""
        parts = self.epoch_parts(way)
        if not parts:
            return None
        stage = max(parts, key=lambda name: parts[name])
        return stage, parts[stage] / sum(parts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it: what was measured, and what follows from it."""
        values = asdict(self)
        values["ways"] = [
            {
                **asdict(way),
                "stages": dict(way.stages),
                "epoch_parts": self.epoch_parts(way),
                "bottleneck": self.bottleneck(way),
            }
            for way in self.ways
        ]
        even = self.break_even()
        values["costs"] = [asdict(cost) for cost in self.costs()]
        values["break_even_epochs"] = None if even in (None, float("inf")) else even
        values["packing_pays"] = None if even is None else even != float("inf")
        values["headroom"] = self.headroom()
        values["codecs"] = [
            {**asdict(codec), "pack_bytes": codec.share * self.count * self.size**2 * 3} for codec in self.codecs
        ]
        return values
