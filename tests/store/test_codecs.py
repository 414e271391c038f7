from __future__ import annotations

import zlib

import cramjam
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prebake.errors import OptionError
from prebake.store.codecs import CODECS, codec_named
from store.packs import images

codecs = pytest.mark.parametrize("codec", CODECS)


def compressed(image: np.ndarray) -> bytes:
    return bytes(cramjam.zstd.compress(image.reshape(-1), 1))


def as_array(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


@codecs
@given(
    st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]), st.integers(0, 255), st.integers(0, 2**32 - 1)
)
def test_what_is_encoded_decodes_to_the_same(
    codec: str, height: int, width: int, channels: int, top: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, top + 1, (height, width, channels), dtype=np.uint8)
    out = np.full_like(image, 77)
    assert codec_named(codec).decode(as_array(codec_named(codec).encode(image)), out)
    assert (out == image).all()


@codecs
def test_data_that_decode_to_another_size_are_not_taken(codec: str) -> None:
    image = images(1, 16)[0]
    data = as_array(codec_named(codec).encode(image))
    for shape in ((16, 16, 4), (16, 16, 2), (1, 1, 1)):
        assert not codec_named(codec).decode(data, np.empty(shape, np.uint8))


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_data_that_are_cut_short_or_garbled_are_not_taken(codec: str) -> None:
    image = images(1, 16)[0]
    data = codec_named(codec).encode(image)
    for wrong in (b"", data[:5], data[:-1], data[: len(data) // 2], b"no such thing at all", data[:2] * 40):
        assert not codec_named(codec).decode(as_array(wrong), np.empty_like(image))


def test_a_zstd_frame_that_states_no_size_or_a_lie_is_not_taken() -> None:
    frame = bytearray(compressed(images(1, 16)[0]))
    frame[5] ^= 0x55
    assert not codec_named("zstd").decode(as_array(bytes(frame)), np.empty((16, 16, 3), np.uint8))
    unstated = bytes.fromhex("28b52ffd0058") + bytes.fromhex("010000")
    assert not codec_named("zstd").decode(as_array(unstated), np.empty((1, 1, 1), np.uint8))


def test_a_second_zstd_frame_never_writes_past_the_end() -> None:
    image = images(1, 16)[0]
    data = compressed(image)
    out = np.zeros((17, 16, 3), np.uint8)
    assert not codec_named("zstd").decode(as_array(data + data), out[:16])
    assert not out[16].any()


def test_gzip_is_zlib_at_level_two() -> None:
    image = images(1, 16)[0]
    assert codec_named("gzip").encode(image) == zlib.compress(image.tobytes(), 2)


@pytest.mark.parametrize("size", [1, 200, 300, 70_000])
def test_the_stated_zstd_size_is_read_in_all_its_widths(size: int) -> None:
    image = np.zeros((size, 1, 1), np.uint8)
    assert codec_named("zstd").decode(as_array(codec_named("zstd").encode(image)), np.empty_like(image))


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(OptionError, match="unknown codec"):
        codec_named("lzma")
