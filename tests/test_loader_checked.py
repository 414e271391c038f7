"""The Loader compares images with their checksums where it is asked to."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from loader_helpers import make_pack  # noqa: E402
from prebake.augment import Augment  # noqa: E402
from prebake.errors import OptionError, PackDamaged  # noqa: E402
from prebake.loader import Loader  # noqa: E402
from prebake.store import Pack  # noqa: E402
from store.packs import images, kernel_2019  # noqa: E402

AUGMENT = Augment.kernel((128, 128, 128), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
ways = pytest.mark.parametrize("way", [{}, {"augment": AUGMENT}, {"augment": AUGMENT, "device_augment": True}])


def flip(path: Path, row: int) -> None:
    """Turn one bit of one raw image."""
    pack = Pack(path)
    start = int(pack._open.offsets[row]) + 77
    pack.close()
    with path.open("r+b") as file:
        file.seek(start)
        value = file.read(1)[0]
        file.seek(start)
        file.write(bytes([value ^ 8]))


@ways
@pytest.mark.parametrize("verify", [True, "first"])
def test_a_damaged_image_is_named_before_it_is_handed_over(tmp_path, way, verify):
    path, seen = make_pack(tmp_path / "pack.h5", 20), []
    flip(path, 13)
    batches = Loader(path, 4, verify=verify, with_rows=True, **way)
    with pytest.raises(PackDamaged, match="img13 is damaged: its pixels do not match their checksum") as caught:
        seen.extend(row for batch in batches for row in batch[-1].tolist())
    assert caught.value.ids == ("img13",)
    assert seen == list(range(12))


@ways
def test_without_verify_it_is_handed_over(tmp_path, way):
    path = make_pack(tmp_path / "pack.h5", 20)
    flip(path, 13)
    assert sum(len(batch[1]) for batch in Loader(path, 4, **way)) == 20


def test_the_pack_that_holds_it_is_named_among_several(tmp_path):
    paths = [make_pack(tmp_path / f"{name}.h5", 6, first=first) for name, first in (("a", 0), ("b", 50))]
    flip(paths[1], 2)
    with pytest.raises(PackDamaged, match=r"b\.h5: image img52 is damaged"):
        list(Loader(paths, 4, verify=True))


@pytest.mark.parametrize("codec", ["raw", "zstd", "gzip"])
@pytest.mark.parametrize("verify", [True, "first"])
@ways
def test_batches_of_a_whole_pack_are_the_same(tmp_path, codec, verify, way):
    path = make_pack(tmp_path / "pack.h5", 20, codec=codec)
    plain, checked = (Loader(path, 4, shuffle=True, seed=3, **way, **more) for more in ({}, {"verify": verify}))
    for _ in range(2):
        for one, other in zip(plain, checked, strict=True):
            assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(one, other, strict=True))


def test_first_compares_each_row_once_and_true_always(tmp_path):
    path = make_pack(tmp_path / "pack.h5", 20)
    first, always = (Loader(path, 4, shuffle=True, verify=verify) for verify in ("first", True))
    for loader in (first, always):
        list(loader)
    flip(path, 7)
    list(first)
    with pytest.raises(PackDamaged, match="img7"):
        list(always)


def test_first_compares_what_an_interrupted_epoch_has_left(tmp_path):
    path = make_pack(tmp_path / "pack.h5", 20)
    loader = Loader(path, 4, verify="first", threads=1, prefetch=1)
    next(iter(loader))
    loader.close()
    flip(path, 19)
    with pytest.raises(PackDamaged, match="img19"):
        list(loader)


def test_a_loader_in_another_process_compares_too(tmp_path):
    path = make_pack(tmp_path / "pack.h5", 8)
    loader = pickle.loads(pickle.dumps(Loader(path, 4, verify=True)))
    flip(path, 5)
    with pytest.raises(PackDamaged, match="img5"):
        list(loader)


def test_a_file_without_checksums_is_refused(tmp_path):
    path = kernel_2019(tmp_path / "k.h5", images(4))
    with pytest.raises(OptionError, match=r"k\.h5 has no checksums: it is a file of the 2019 kernel"):
        Loader(path, 2, verify="first")
    assert len(list(Loader(path, 2))) == 2


def test_another_word_is_refused(tmp_path):
    with pytest.raises(OptionError, match="unknown verify"):
        Loader(make_pack(tmp_path / "pack.h5", 2), verify="last")


def test_a_pack_compares_one_image_when_asked(tmp_path):
    pack = Pack(make_pack(tmp_path / "pack.h5", 3))
    image = pack[-1]
    pack.check(-1, image)
    image[3, 4] ^= 1
    with pytest.raises(PackDamaged, match="img2 is damaged"):
        pack.check(2, image)
