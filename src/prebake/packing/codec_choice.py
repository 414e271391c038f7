"""What ``--codec auto`` takes, and why: a rule over measured numbers, and the numbers themselves."""

from __future__ import annotations

from dataclasses import dataclass

from prebake.files import human_bytes

__all__ = ["CodecChoice", "CodecFacts", "choose_codec"]

COMFORTABLE = 3  # pixels fit well where there is this many times as much room
PEAK = 2  # packing holds every image twice: in its part and in the merged file
WORTHWHILE = 0.9  # what zstd leaves more than this of is not worth decoding
SHARE = 0.75  # of the pixels, to reckon with where it was not measured; baked fundus photographs take 0.57 (zstd)


@dataclass(frozen=True, slots=True)
class CodecFacts:
    """What the choice of a codec depends on.

    Parameters
    ----------
    pixels
        Bytes of all images as they come out of the recipe.
    memory
        Bytes of memory of the machine, or of the container.
    free
        Bytes free on the disk of the pack, before anything of it lies there.
    share
        Bytes that zstd makes of one byte of pixels, measured on images of this pack; ``None``: not measured.
    photographs
        On how many of them.
    decode_rate
        Bytes of pixels a second that all cores of this machine get out of zstd; ``None``: not measured.
    read_rate
        Bytes a second that the disk gives, image by image in random order, not from memory; ``None``: not measured.
    """

    pixels: int
    memory: int
    free: int
    share: float | None = None
    photographs: int = 0
    decode_rate: float | None = None
    read_rate: float | None = None

    @property
    def fits_memory(self) -> bool:
        """Whether the pixels take at most a third of the memory, and stay there while a model trains beside them."""
        return self.pixels * COMFORTABLE <= self.memory

    @property
    def fits_disk(self) -> bool:
        """Whether the pixels take at most a third of the free disk: packing needs two thirds for a while."""
        return self.pixels * COMFORTABLE <= self.free

    @property
    def needs_measuring(self) -> bool:
        """Whether more than sizes is needed for the choice."""
        return not (self.fits_memory and self.fits_disk)


@dataclass(frozen=True, slots=True)
class CodecChoice:
    """A codec, and why.

    Parameters
    ----------
    codec
        ``"raw"`` or ``"zstd"``.
    reason
        Why, in one line; it goes into the pack, so it names only numbers that are the same when that is made again.
    share
        Bytes of the pack for one byte of pixels, to reckon with.
    """

    codec: str
    reason: str
    share: float


def choose_codec(facts: CodecFacts) -> CodecChoice:
    """Choose between raw and zstd.

    1. Raw, where the pixels take at most a third of the memory and of the free disk: reading is then a copy.
    2. Raw also where zstd leaves more than 0.9 of them, and the disk holds them (twice, while packing).
    3. Zstd, where the pixels take more than a third of the free disk.
    4. Raw, where the disk was measured to read pixels faster than this machine decodes them; else zstd: reading from
       disk is the limit, and there is less to read.

    Gzip is never chosen: zstd is smaller and faster.

    Examples
    --------
    >>> choose_codec(CodecFacts(590_000_000, memory=16_000_000_000, free=61_000_000_000)).codec
    'raw'
    >>> choice = choose_codec(CodecFacts(9_000_000_000, 16_000_000_000, 61_000_000_000, share=0.57, photographs=16))
    >>> choice.codec
    'zstd'
    >>> choice.reason
    '9.0 GB of pixels do not fit well into 16.0 GB of memory; zstd makes 0.57 of them (measured on 16 photographs)'
    """
    if facts.fits_memory and facts.fits_disk:
        sizes = f"{human_bytes(facts.pixels)} of pixels fit well into {_memory(facts)} and onto the disk"
        return CodecChoice("raw", f"{sizes}, whatever zstd would make of them", 1)
    why = _why_not(facts)
    if facts.share is None:
        return CodecChoice("zstd", f"{why}; zstd could not be measured", SHARE)
    photographs = f"{facts.photographs} photograph" + ("s" if facts.photographs != 1 else "")
    measured = f"zstd makes {facts.share:.2f} of them (measured on {photographs})"
    if facts.share > WORTHWHILE and facts.pixels * PEAK <= facts.free:
        return CodecChoice("raw", f"{why}, but {measured}", 1)
    if facts.fits_disk and facts.decode_rate and facts.read_rate and facts.read_rate > facts.decode_rate:
        return CodecChoice("raw", f"{why}; {measured}, but the disk was faster than decoding that", 1)
    return CodecChoice("zstd", f"{why}; {measured}", facts.share)


def _why_not(facts: CodecFacts) -> str:
    """Say what the pixels do not fit into; not how much of the disk is free, which is never the same twice."""
    places = [] if facts.fits_memory else [f"into {_memory(facts)}"]
    places += [] if facts.fits_disk else ["onto the disk"]
    return f"{human_bytes(facts.pixels)} of pixels do not fit well {' or '.join(places)}"


def _memory(facts: CodecFacts) -> str:
    """Round the memory: the kernel keeps a little more or less of it for itself."""
    return f"{human_bytes(float(f'{facts.memory:.3g}'))} of memory"
