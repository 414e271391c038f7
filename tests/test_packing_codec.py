"""What ``--codec auto`` takes, and that it stays with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.packing import CodecFacts, choose_codec

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
