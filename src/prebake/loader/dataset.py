"""A pack as a dataset for torch's own DataLoader."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from prebake.errors import MissingExtra, OptionError
from prebake.loader.joined import JoinedPacks, choose_rows
from prebake.store import open_pack

if TYPE_CHECKING:
    from prebake.store import Packs

__all__ = ["PackDataset"]

TransformInput = Literal["auto", "numpy", "pil"]


class PackDataset:
    """Images and labels of a pack, one by one: what ``torch.utils.data.DataLoader`` calls a map-style dataset.

    Works with 0 or more workers, forked or spawned, persistent or not: no HDF5 handle is open, and a pickled dataset
    is little more than the path. Batches are fetched in one call (``__getitems__``). Needs no PyTorch itself.

    Parameters
    ----------
    pack
        The pack, its path or a pattern; or several, which are then one.
    transform
        Called with one image; what it returns takes the place of the image. For workers that are spawned it must be
        picklable.
    rows
        The rows to use: numbers, or a mask with one bool for each row. All by default.
    transform_input
        What the transform is given: ``"numpy"``, the uint8 (H, W, C) RGB array, or ``"pil"``, a ``PIL.Image.Image``.
        ``"auto"`` gives a PIL image to a transform of torchvision, as torchvision's own datasets do, except to
        ``ToPILImage``, which wants an array; for a ``Compose`` its first step decides. Everything else gets the array.

    Raises
    ------
    OptionError
        Rows that are not there; an unknown ``transform_input``.
    PackError
        The pack cannot be opened, or an image in it cannot be read.

    Examples
    --------
    >>> flip = v2.Compose([v2.ToImage(), v2.RandomVerticalFlip()])  # doctest: +SKIP
    >>> dataset = PackDataset("train.h5", transform=flip)  # doctest: +SKIP
    >>> image, label = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        pack: Packs,
        transform: Callable[[Any], Any] | None = None,
        rows: npt.ArrayLike | None = None,
        *,
        transform_input: TransformInput = "auto",
    ) -> None:
        if transform_input not in ("auto", "numpy", "pil"):
            raise OptionError("unknown transform_input", expected="auto, numpy or pil", got=transform_input)
        self.pack = open_pack(pack)
        self._packs = JoinedPacks(self.pack)
        self.transform = transform
        self.rows = choose_rows(rows, len(self.pack))
        wants_pil = _wants_pil(transform) if transform_input == "auto" else transform_input == "pil"
        self.transform_input: TransformInput = "pil" if wants_pil else "numpy"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, np.float32]:
        """Return ``(image, label)``: uint8 (H, W, C) RGB, or what the transform made of it; float32, NaN if missing."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, np.float32]]:
        """Return the pairs of several indices, read in one call."""
        rows = self.rows[[self._checked(index) for index in indices]]
        images = np.empty((len(rows), *self.pack.shape), np.uint8)
        self._packs.read(rows, images)
        labels = self._packs.labels[rows]
        return [
            (image if self.transform is None else self._transformed(image, int(row)), label)
            for image, row, label in zip(images, rows, labels, strict=True)
        ]

    def _checked(self, index: int) -> int:
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of a dataset of {len(self)} images")
        return index

    def _transformed(self, image: npt.NDArray[np.uint8], row: int) -> Any:
        given = _pil(image) if self.transform_input == "pil" else image
        try:
            return self.transform(given)  # type: ignore[misc] # called only where there is a transform
        except Exception as error:
            error.add_note(
                f"(in the transform of image {self._packs.id_of(row)!r}, which was given "
                f"{'a PIL image' if self.transform_input == 'pil' else 'a numpy array'}; see transform_input)"
            )
            raise


def _wants_pil(transform: object) -> bool:
    """Tell whether the first step of a transform is torchvision's and takes PIL images."""
    while (steps := _steps(transform)) is not None:
        if not steps:
            return False
        transform = steps[0]
    kind = type(transform)
    return kind.__module__.split(".")[0] == "torchvision" and kind.__name__ != "ToPILImage"


def _steps(transform: object) -> list[object] | None:
    kind = type(transform)
    if kind.__name__ == "Compose" and kind.__module__.startswith("torchvision."):
        return list(transform.transforms)  # type: ignore[attr-defined]
    if kind.__name__ == "Sequential" and kind.__module__.startswith("torch.nn."):
        return list(transform)  # type: ignore[call-overload, no-any-return]
    return None


def _pil(image: npt.NDArray[np.uint8]) -> Any:
    try:
        from PIL import Image  # noqa: PLC0415 - the base install goes without
    except ImportError as error:
        raise MissingExtra("Pillow is not installed", do="pip install pillow, or transform_input='numpy'") from error
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
