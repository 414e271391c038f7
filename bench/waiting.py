"""How long training EfficientNet-B0 waits for data: prebake, and the Dataset and DataLoader of 2019.

python bench/waiting.py PACK [--steps 10] [--batch-size 16] [--rounds 5] [--quick] [--csv OUT.csv]

Every arm takes the same steps on images at the pack's size, flipped, rotated and normalised. Two numbers for each: the
share of the time in which the training loop waits for its next batch, the first not counted (it is given beside); and
the time for an epoch of these steps against the same steps on one batch that is already in memory, which also sees
what the threads or workers of a loader take away from the model.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import measuring
import numpy as np
import timm
import torch

from prebake.augment import Augment
from prebake.bench import published
from prebake.loader import Loader
from prebake.memory import kept_memory
from prebake.store import Pack, open_pack
from prebake.training.learner import save_inputs

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Training:
    """A model that is trained on batches, as prebake trains it."""

    def __init__(self, name: str, steps: int) -> None:
        torch.manual_seed(0)
        self.model = timm.create_model(name, num_classes=1).to(memory_format=torch.channels_last).train()
        save_inputs(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3)
        self.steps = steps
        self.waits: dict[str, list[float]] = {}
        self.firsts: dict[str, list[float]] = {}

    def epoch(self, arm: str, batches: Callable[[], Iterator[Any]]) -> float:
        """Train for the steps; note the share of waiting, return the seconds of a step. The first batch is apart."""
        before = time.perf_counter()
        iteration = batches()
        batch = next(iteration)
        start = time.perf_counter()
        waited = 0.0
        for number in range(self.steps):
            self.step(*batch)
            if number + 1 < self.steps:
                since = time.perf_counter()
                batch = next(iteration)
                waited += time.perf_counter() - since
        seconds = time.perf_counter() - start
        self.waits.setdefault(arm, []).append(100 * waited / seconds)
        self.firsts.setdefault(arm, []).append(start - before)
        return seconds / self.steps

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Forward, backward, optimizer."""
        raw = self.model(images.contiguous(memory_format=torch.channels_last)).squeeze(1)
        loss = torch.nn.functional.mse_loss(raw, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def as_published(pack: Pack, target: Path) -> None:
    """Write the images of a pack as the 2019 kernel stored them."""
    with h5py.File(target, "w") as file:
        images = file.create_dataset(
            "images",
            (len(pack), *pack.shape),
            np.uint8,
            chunks=(1, *pack.shape),
            compression="gzip",
            compression_opts=2,
        )
        for row in range(len(pack)):
            images[row] = pack[row]
        file["id_code"] = np.array([name.encode() for name in pack.ids])


def main() -> None:
    """Measure and print one line for each arm."""
    parser = measuring.parser(__doc__, quick="4 steps of 4, 3 rounds")
    parser.add_argument("pack", type=Path)
    parser.add_argument("--model", default="efficientnet_b0")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.batch_size, options.rounds = 4, 4, 3
    pack = open_pack(options.pack)
    labels = np.nan_to_num(pack.labels)
    training = Training(options.model, options.steps)
    with tempfile.TemporaryDirectory() as scratch, kept_memory():
        old = Path(scratch) / "published.h5"
        as_published(pack, old)
        dataset = published.PublishedDataset(old, pack.ids, labels, published.transforms(MEAN, STD))
        augment = Augment(horizontal_flip=True, rotation=120.0, mean=MEAN, std=STD)
        loader = Loader(pack, options.batch_size, shuffle=True, augment=augment, channels_last=True)
        fixed = next(iter(loader))

        def torch_loader(workers: int) -> Iterator[Any]:
            return iter(
                torch.utils.data.DataLoader(dataset, options.batch_size, shuffle=True, num_workers=workers)  # type: ignore[arg-type]
            )

        arms: dict[str, Callable[[], Iterator[Any]]] = {
            "one batch in memory": lambda: iter([fixed] * options.steps),
            "prebake": lambda: iter(loader),
            "2019 Dataset, no workers": partial(torch_loader, 0),
            "2019 Dataset, 2 workers": partial(torch_loader, 2),
        }
        found = measuring.interleaved(
            {name: partial(training.epoch, name, batches) for name, batches in arms.items()}, rounds=options.rounds
        )
    about = f"{options.model}, {pack.shape[0]} px, {options.steps} steps of {options.batch_size}"
    packages = ("torch", "timm", "h5py", "torchvision")
    lines = measuring.results(
        found, row="10", what=f"s/step, {about}", unit="s", against="one batch in memory", packages=packages
    )
    for unit, kept in (("% waiting", training.waits), ("s, first batch", training.firsts)):
        shares = {name: [max(value, 1e-6) for value in values[-options.rounds :]] for name, values in kept.items()}
        lines += measuring.results(
            shares, row="10", what=f"waiting, {about}", unit=unit, against="prebake", packages=packages
        )
    measuring.show(lines)
    measuring.write(lines, options.csv)


if __name__ == "__main__":
    main()
