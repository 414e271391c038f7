"""Augmentation: one affine map per image and epoch, drawn by counter, warped once, normalised.

What is drawn for an image depends on (seed, epoch, row) alone: not on the batch it is in, nor on threads or ranks, nor
on what was drawn before. The numbers come from Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
as easy as 1, 2, 3", SC11), a counter-based generator: every row has its own counter.

Flip, rotation, shear and zoom become one matrix, so that an image is interpolated once. The same matrices serve the CPU
(:meth:`Augment.apply_numpy`, one image at a time, in the loader's threads) and any torch device
(:meth:`Augment.apply_torch`, one batched call). Both interpolate in float32 and agree within 0.05 grey levels of 255;
matrices that only flip (or do nothing) are not interpolated at all and agree exactly.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from prebake.errors import MissingExtra, OptionError

if TYPE_CHECKING:
    import torch

__all__ = ["Augment", "random_words"]

_U64 = np.uint64
_MASK = _U64(0xFFFFFFFF)
_SHIFT = _U64(32)
_MULTIPLIERS = (_U64(0xD2511F53), _U64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10

_AUGMENT_STREAM = 0
_WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_local = threading.local()


def random_words(seed: int, epoch: int, rows: npt.ArrayLike, stream: int) -> npt.NDArray[np.uint64]:
    """Return four random 32-bit words for each row: Philox4x32-10 of (row, epoch, stream) under the key ``seed``.

    Parameters
    ----------
    seed
        0 ... 2**64 - 1.
    epoch, stream
        0 ... 2**32 - 1. ``stream`` keeps apart what is drawn for different purposes.
    rows
        (N,) integers, not negative.

    Returns
    -------
    (4, N) uint64, values 0 ... 2**32 - 1.

    Examples
    --------
    >>> random_words(seed=0, epoch=0, rows=[0], stream=0)[:, 0].tolist()
    [1713891541, 3781805453, 3159862348, 2600524760]
    """
    counter = np.asarray(rows).astype(_U64)
    a, b = counter & _MASK, counter >> _SHIFT
    c, d = np.full_like(a, epoch), np.full_like(a, stream)
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(_ROUNDS):
        ab, cd = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (cd >> _SHIFT) ^ b ^ _U64(key[0]), cd & _MASK, (ab >> _SHIFT) ^ d ^ _U64(key[1]), ab & _MASK
        key = [(k + w) & 0xFFFFFFFF for k, w in zip(key, _WEYL, strict=True)]
    return np.stack([a, b, c, d])


@dataclass(frozen=True)
class Augment:
    """What is random in training, and the normalisation that follows.

    Parameters
    ----------
    horizontal_flip, vertical_flip
        Flip with probability 1/2.
    rotation
        Degrees: the angle is uniform in -rotation ... +rotation, about the centre of the image.
    zoom
        Smallest and largest magnification, drawn log-uniformly; above 1 enlarges.
    shear
        Degrees: the angle of a horizontal shear is uniform in -shear ... +shear.
    fill
        The colour (0 ... 255 per channel) of what comes from outside the image; normalised like every pixel.
    mean, std
        Per channel, in units where 0 is black and 1 is 255: the result is ``(pixel / 255 - mean) / std``.
        The default gives 0 ... 1.

    Raises
    ------
    OptionError
        A value that cannot be used.

    Examples
    --------
    >>> augment = Augment(rotation=15.0, zoom=(0.9, 1.1))
    >>> augment.parameters(seed=0, epoch=0, rows=[3, 7], shape=(256, 256)).shape
    (2, 2, 3)
    """

    horizontal_flip: bool = True
    vertical_flip: bool = True
    rotation: float = 180.0
    zoom: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    fill: tuple[int, ...] = (0, 0, 0)
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        try:
            for name, kind in (("zoom", float), ("fill", int), ("mean", float), ("std", float)):
                object.__setattr__(self, name, tuple(kind(value) for value in getattr(self, name)))
        except (TypeError, ValueError) as error:
            raise OptionError(f"augmentation: {name} must be a sequence of numbers", got=getattr(self, name)) from error
        if not 0.0 <= self.rotation <= 180.0:
            raise OptionError("augmentation: rotation out of range", expected="0 ... 180 degrees", got=self.rotation)
        if not 0.0 <= self.shear < 90.0:
            raise OptionError("augmentation: shear out of range", expected="0 ... 90 degrees", got=self.shear)
        if len(self.zoom) != 2 or not 0.0 < self.zoom[0] <= self.zoom[1] < math.inf:
            raise OptionError("augmentation: zoom out of range", expected="0 < smallest <= largest", got=self.zoom)
        if not (1 <= len(self.fill) == len(self.mean) == len(self.std) <= 4):
            raise OptionError(
                "augmentation: fill, mean and std must have one value for each channel",
                expected="1 ... 4 channels",
                got=f"fill {self.fill}, mean {self.mean}, std {self.std}",
            )
        if not all(0 <= value <= 255 for value in self.fill):
            raise OptionError("augmentation: fill out of range", expected="0 ... 255", got=self.fill)
        if not all(math.isfinite(m) and 0.0 < s < math.inf for m, s in zip(self.mean, self.std, strict=True)):
            raise OptionError("augmentation: std must be above 0", got=f"mean {self.mean}, std {self.std}")

    @classmethod
    def none(cls, mean: Sequence[float], std: Sequence[float]) -> Augment:
        """Return what validation and prediction use: normalisation alone."""
        fill = (0,) * len(mean)
        return cls(
            horizontal_flip=False, vertical_flip=False, rotation=0.0, fill=fill, mean=tuple(mean), std=tuple(std)
        )

    @classmethod
    def kernel(cls, fill: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> Augment:
        """Return the augmentation of the published 2019 kernel: horizontal flip and rotation by up to 120 degrees."""
        return cls(vertical_flip=False, rotation=120.0, fill=tuple(fill), mean=tuple(mean), std=tuple(std))

    @classmethod
    def full(cls, fill: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> Augment:
        """Return both flips and rotation by any angle: a fundus photograph has no direction that matters."""
        return cls(fill=tuple(fill), mean=tuple(mean), std=tuple(std))

    def parameters(self, seed: int, epoch: int, rows: npt.ArrayLike, shape: Sequence[int]) -> npt.NDArray[np.float64]:
        """Draw the affine map of each row.

        Parameters
        ----------
        seed, epoch, rows
            As in :func:`random_words`; the result for a row depends on nothing else.
        shape
            (H, W, ...) of the images.

        Returns
        -------
        (N, 2, 3) float64: the matrix that maps the centre (x, y, 1) of an output pixel to where it comes from in the
        input, in pixels, (0, 0) being the centre of the first pixel. The centre of the image stays where it is.
        """
        words = random_words(seed, epoch, rows, _AUGMENT_STREAM)
        flips, unit = words[0], (words[1:].astype(np.float64) + 0.5) / 2.0**32
        angle = np.radians(self.rotation * (2.0 * unit[0] - 1.0))
        low, high = math.log(self.zoom[0]), math.log(self.zoom[1])
        scale = np.exp(-(low + (high - low) * unit[1]))
        slant = np.tan(np.radians(self.shear * (2.0 * unit[2] - 1.0)))
        x = np.where((flips >> _U64(31)) & _U64(self.horizontal_flip), -scale, scale)
        y = np.where((flips >> _U64(30)) & _U64(self.vertical_flip), -scale, scale)
        cos, sin = np.cos(angle), np.sin(angle)
        linear = np.empty((words.shape[1], 2, 2))
        linear[:, 0, 0], linear[:, 0, 1] = x * cos, y * (cos * slant - sin)
        linear[:, 1, 0], linear[:, 1, 1] = x * sin, y * (sin * slant + cos)
        centre = np.array([(shape[1] - 1) / 2.0, (shape[0] - 1) / 2.0])
        return np.concatenate([linear, (centre - linear @ centre)[:, :, None]], axis=2)

    def apply_numpy(
        self, image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], out: npt.NDArray[np.float32]
    ) -> None:
        """Warp one image and normalise it.

        Parameters
        ----------
        image
            (H, W, C) uint8, C-contiguous.
        matrix
            (2, 3) as :meth:`parameters` draws it.
        out
            (C, H, W) float32, overwritten: contiguous, or the transposed view of a contiguous (H, W, C) array
            (torch's ``channels_last``).
        """
        flip = _as_flip(matrix.tolist(), *image.shape[:2])
        pixels = _warp(image, matrix, self.fill) if flip is None else _flip(image, flip)
        scale, offset = self._normalisation()
        if not out[0].flags.c_contiguous:
            interleaved = out.transpose(1, 2, 0)
            if pixels.shape == interleaved.shape:
                np.copyto(interleaved, pixels)
            else:
                cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB, dst=interleaved)
            lines = interleaved.reshape(len(interleaved), -1)  # numpy is slow on axes as short as the channels
            lines *= np.tile(scale, image.shape[1])
            lines += np.tile(offset, image.shape[1])
            return
        # separating the channels first, by OpenCV, is several times faster than a transposed copy; few calls, because
        # threads wait for each other at every one of them
        buffers = _buffers(image.shape, self.fill)
        if flip is None:
            cv2.split(pixels, [*out, buffers.spare])
            planes: npt.NDArray[Any] = out
        else:
            planes = buffers.planes
            cv2.split(pixels, [*planes])
        np.multiply(planes, scale[:, None, None], out=out)
        np.add(out, offset[:, None, None], out=out)

    def apply_torch(self, images: torch.Tensor, matrices: npt.ArrayLike | torch.Tensor) -> torch.Tensor:
        """Warp a batch and normalise it, on the device where it is.

        Parameters
        ----------
        images
            (B, H, W, C) uint8.
        matrices
            (B, 2, 3) as :meth:`parameters` draws them; best given as they are, on the CPU.

        Returns
        -------
        (B, C, H, W) float32 on the device of ``images``.

        Raises
        ------
        MissingExtra
            PyTorch is not installed.
        """
        torch = import_torch()
        matrices = np.asarray(matrices.cpu() if isinstance(matrices, torch.Tensor) else matrices, np.float64)
        height, width = images.shape[1:3]
        device = images.device

        def on_device(values: npt.ArrayLike) -> Any:  # without waiting for what a GPU is still doing
            return torch.from_numpy(np.asarray(values, np.float32)).to(device, non_blocking=device.type == "cuda")

        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        flips = [_as_flip(matrix, height, width) for matrix in matrices.tolist()]
        if None in flips:
            theta = on_device(_normalised(matrices, height, width))
            along_x, along_y, shift = theta[:, None, None].unbind(-1)
            x, y = (torch.arange(1 - n, n, 2, dtype=torch.float32, device=device) / n for n in (width, height))
            # not affine_grid: autocast rounds its matrix product to 16 bits, and a GPU that may use TF32 to 19
            grid = along_x * x[:, None] + along_y * y[:, None, None] + shift
            fill = on_device(self.fill).view(-1, 1, 1)
            pixels = torch.nn.functional.grid_sample(pixels - fill, grid, align_corners=False).add_(fill)
        elif any(flip != (False, False) for flip in flips):
            for axis, chosen in ((3, [flip[0] for flip in flips if flip]), (2, [flip[1] for flip in flips if flip])):
                mask = torch.tensor(chosen, device=device).view(-1, 1, 1, 1)
                pixels = torch.where(mask, pixels.flip(axis), pixels)
        scale, offset = (on_device(values).view(-1, 1, 1) for values in self._normalisation())
        return pixels.contiguous().mul_(scale).add_(offset)

    def _normalisation(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Return scale and offset, each (C,): ``pixel * scale + offset`` is the normalised value."""
        mean, std = np.array(self.mean), np.array(self.std)
        return (1.0 / (255.0 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def import_torch() -> Any:
    """Return the module ``torch``, or say how to install it."""
    try:
        import torch  # noqa: PLC0415 - the base install goes without
    except ImportError as error:
        raise MissingExtra("PyTorch is not installed", do="pip install 'prebake[train]'") from error
    return torch


def _as_flip(matrix: list[list[float]], height: int, width: int) -> tuple[bool, bool] | None:
    """Tell whether a map only flips: (horizontally, vertically); ``None`` where pixels have to be interpolated."""
    (xx, xy, x0), (yx, yy, y0) = matrix
    if xy or yx or abs(xx) != 1.0 or abs(yy) != 1.0:
        return None
    if x0 != (width - 1 if xx < 0 else 0) or y0 != (height - 1 if yy < 0 else 0):
        return None
    return xx < 0, yy < 0


def _flip(image: npt.NDArray[np.uint8], flip: tuple[bool, bool]) -> npt.NDArray[np.uint8]:
    if flip == (False, False):
        return image
    code = {(True, False): 1, (False, True): 0, (True, True): -1}[flip]
    return cv2.flip(image, code).reshape(image.shape).astype(np.uint8, copy=False)


class _Buffers:
    """What one thread warps with: images of one shape, of four channels where there are three.

    The source lies in a frame of the fill colour, wide enough for any rotation: where OpenCV's kernel does not leave
    the image, it is a third faster.
    """

    def __init__(self, shape: tuple[int, ...], fill: tuple[int, ...]) -> None:
        height, width, channels = shape
        self.shape, self.fill = shape, fill
        self.frame = math.ceil((math.hypot(height, width) - min(height, width)) / 2) + 2
        wide = 4 if channels == 3 else channels
        self.bytes = np.empty((height, width, wide), np.uint8)
        self.framed = np.empty((height + 2 * self.frame, width + 2 * self.frame, wide), np.float32)
        self.framed[:] = (*fill, *(0,) * (wide - channels))
        self.source = self.framed[self.frame : -self.frame, self.frame : -self.frame]
        self.target = np.empty((height, width, wide), np.float32)
        self.spare = np.empty((height, width), np.float32)
        self.planes = np.empty((channels, height, width), np.uint8)


def _buffers(shape: tuple[int, ...], fill: tuple[int, ...]) -> _Buffers:
    found: _Buffers | None = getattr(_local, "buffers", None)
    if found is None or found.shape != shape or found.fill != fill:
        found = _local.buffers = _Buffers(shape, fill)
    return found


def _warp(image: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], fill: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the warped image as float32 (H, W, C), with a fourth channel to ignore where C is 3.

    OpenCV warps four channels in half the time that three take, and float32 as fast as uint8 but without rounding.
    """
    buffers = _buffers(image.shape, fill)
    if image.shape[2] == 3:
        cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, dst=buffers.bytes)
        np.copyto(buffers.source, buffers.bytes)
    else:
        np.copyto(buffers.source, image)
    matrix = matrix + np.array([[0, 0, buffers.frame]])
    size = (image.shape[1], image.shape[0])
    cv2.warpAffine(
        buffers.framed, matrix, size, dst=buffers.target, flags=_WARP, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    return buffers.target


def _normalised(matrices: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    """Turn maps between pixel coordinates into maps between torch's: -1 and 1 are the outer edges of the image."""
    size, middle = np.array([width, height]) / 2.0, np.array([width - 1, height - 1]) / 2.0
    linear, shift = matrices[:, :, :2], matrices[:, :, 2]
    shift = (linear @ middle + shift - middle) / size
    return np.concatenate([linear * (size[None, :] / size[:, None]), shift[:, :, None]], axis=2)
