"""PackDataset in torch's DataLoader."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from loader_helpers import SIZE, brighter, damage, make_pack, numbers
from prebake.errors import OptionError, PackDamaged
from prebake.loader import PackDataset
from prebake.store import Pack

COUNT = 11


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pack(tmp_path_factory.mktemp("packs") / "pack.h5", COUNT, codec="gzip")


def test_an_item_is_an_image_and_its_label(path):
    dataset, pack = PackDataset(path), Pack(path)
    assert len(dataset) == COUNT
    image, label = dataset[3]
    assert (image.dtype, image.shape, type(label), label) == (np.uint8, (SIZE, SIZE, 3), np.float32, 3.0)
    np.testing.assert_array_equal(image, pack[3])
    np.testing.assert_array_equal(dataset[-1][0], pack[COUNT - 1])
    assert np.isnan(dataset[4][1])


def test_a_place_that_is_not_there_is_an_index_error_so_that_iteration_ends(path):
    dataset = PackDataset(path)
    for index in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=str(index)):
            dataset[index]
    assert numbers([image for image, _ in dataset]) == list(range(COUNT))


def test_several_items_are_read_in_one_call(path):
    images, labels = zip(*PackDataset(Pack(path)).__getitems__([5, 0, 5]), strict=True)
    assert numbers(images) == [5, 0, 5]
    assert list(labels) == [0, 0, 0]


def test_only_the_chosen_rows_are_there(path):
    dataset = PackDataset(path, rows=[7, 2])
    assert numbers([image for image, _ in dataset]) == [7, 2]
    mask = np.arange(COUNT) > 8
    assert numbers([image for image, _ in PackDataset(path, rows=mask)]) == [9, 10]


def test_a_pickled_dataset_holds_no_images(path):
    data = pickle.dumps(PackDataset(path, brighter))
    assert len(data) < 5000
    image, _ = pickle.loads(data)[1]
    np.testing.assert_array_equal(image, brighter(Pack(path)[1]))


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("workers", "context", "persistent"),
    [(0, None, False), (2, "fork", False), (2, "fork", True), (1, "spawn", True)],
)
def test_dataloader_workers_deliver_every_image_once(path, workers, context, persistent):
    torch = pytest.importorskip("torch")
    dataset = PackDataset(path, brighter)
    _ = dataset[0]  # used before the workers begin
    loader = torch.utils.data.DataLoader(
        dataset, 4, num_workers=workers, multiprocessing_context=context, persistent_workers=persistent
    )
    expected = np.stack([brighter(image) for image in Pack(path)])
    for _ in range(2):
        images, labels = zip(*loader, strict=True)
        assert (images[0].dtype, labels[0].dtype) == (torch.uint8, torch.float32)
        np.testing.assert_array_equal(torch.cat(images), expected)
        np.testing.assert_array_equal(torch.cat(labels), Pack(path).labels)


def test_transforms_of_both_generations_of_torchvision_get_what_they_take(path):
    torch = pytest.importorskip("torch")
    v1 = pytest.importorskip("torchvision.transforms")
    from torchvision.transforms import v2

    image = Pack(path)[6]
    flipped = torch.from_numpy(image[:, ::-1].copy()).permute(2, 0, 1)
    scaled = flipped.float() / 255
    for transform, expected in (
        (v1.Compose([v1.RandomHorizontalFlip(1), v1.ToTensor()]), scaled),
        (v1.Compose([v1.ToPILImage(), v1.RandomHorizontalFlip(1), v1.ToTensor()]), scaled),
        (v1.Compose([v1.Compose([v1.ToTensor()]), v1.RandomHorizontalFlip(1)]), scaled),
        (v1.Compose([lambda array: array[:, ::-1].copy(), v1.ToTensor()]), scaled),
        (v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(1)]), flipped),
        (v2.Compose([v2.RandomHorizontalFlip(1), v2.ToImage()]), flipped),
        (v2.Compose([v2.ToImage(), v2.RandomHorizontalFlip(1), v2.ToDtype(torch.float32, scale=True)]), scaled),
        (torch.nn.Sequential(v2.RandomHorizontalFlip(1), v2.PILToTensor()), flipped),
    ):
        torch.testing.assert_close(torch.as_tensor(PackDataset(path, transform)[6][0]), expected)


def test_a_function_gets_an_array_unless_it_asks_for_pil(path):
    pytest.importorskip("PIL")
    given = [PackDataset(path, type, transform_input=kind)[0][0].__name__ for kind in ("auto", "numpy", "pil")]
    assert given == ["ndarray", "ndarray", "Image"]
    turned, _ = PackDataset(path, lambda image: image.rotate(90), transform_input="pil")[2]
    np.testing.assert_array_equal(np.asarray(turned), np.rot90(Pack(path)[2]))


def test_an_unknown_transform_input_is_refused(path):
    with pytest.raises(OptionError, match="transform_input"):
        PackDataset(path, transform_input="jpeg")


def test_an_error_of_a_transform_names_the_image_and_what_it_was_given(path):
    with pytest.raises(AttributeError) as caught:
        PackDataset(path, lambda image: image.rotate(90))[2]
    assert "'img2'" in caught.value.__notes__[0]
    assert "numpy" in caught.value.__notes__[0]


def test_a_damaged_image_is_named_also_from_a_worker(tmp_path):
    torch = pytest.importorskip("torch")
    path = make_pack(tmp_path / "pack.h5", 6, codec="gzip")
    damage(path, 4)
    for workers in (0, 1):
        with pytest.raises(PackDamaged, match="img4"):
            list(torch.utils.data.DataLoader(PackDataset(path), 2, num_workers=workers))
