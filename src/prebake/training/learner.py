"""The Lightning module: one step, one validation, the moving average, and a history that survives interruption."""

from __future__ import annotations

import copy
import math
import time
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from prebake.augment import Augment
from prebake.errors import OptionError, RunError
from prebake.metrics import summary
from prebake.training.feeding import Batches, TimedLoader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prebake.config import TrainConfig
    from prebake.loader.checked import Verify
    from prebake.training.data import Data

__all__ = ["STATE", "Learner", "learning_rate"]

STATE = "prebake"  # key of a checkpoint under which the learner keeps its own
VERIFY: dict[str, Verify] = {"none": False, "first": "first", "always": True}
_NEEDS_INPUT = (nn.SiLU, nn.Hardswish, nn.Mish)
"""Activations whose gradient is computed from what they were given."""


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of one step, a pure function of where training is.

    Parameters
    ----------
    step
        Counted from 0 over all epochs.
    steps_per_epoch
        At least 1.

    Examples
    --------
    >>> from prebake.config import TrainConfig
    >>> kernel = TrainConfig.preset("kernel")
    >>> [round(learning_rate(kernel, epoch * 100, 100), 9) for epoch in (0, 4, 5, 9)]
    [0.001, 0.001, 0.0001, 0.0001]
    """
    warm, total = config.warmup * steps_per_epoch, config.epochs * steps_per_epoch
    factor = min(1.0, (step + 1) / warm) if warm else 1.0
    if config.schedule == "step":
        factor *= config.gamma ** (step // steps_per_epoch // config.step_size)
    elif config.schedule == "cosine" and step >= warm:
        factor *= 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
    return config.lr * factor


def save_inputs(model: nn.Module) -> None:
    """Turn off in-place activations where the gradient needs the input: in place, torch copies it first."""
    for module in model.modules():
        if isinstance(module, _NEEDS_INPUT):
            module.inplace = False


class Learner(lightning.LightningModule):
    """Regression of the grade, as Lightning trains it.

    Nothing here depends on how often training was interrupted: the order and augmentation are functions of (seed,
    epoch, row), the learning rate and the generator of dropout of the step, and all else is in the checkpoint.

    Parameters
    ----------
    model
        Maps float32 (B, 3, S, S) to (B, 1).
    config, data, augment
        What the training is told, its rows, and how images become numbers.

    Attributes
    ----------
    history
        One row for each epoch that is done.
    best_epoch, best_raw
        The best epoch (from 1; 0 before the first) and its raw values of the validation rows, float32 (n_val,).
    """

    def __init__(self, model: nn.Module, config: TrainConfig, data: Data, augment: Augment) -> None:
        super().__init__()
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model = model.to(memory_format=layout)
        self.average = copy.deepcopy(self.model).requires_grad_(requires_grad=False) if config.ema else None
        save_inputs(self.model)
        self.config, self.data, self.augment = config, data, augment
        self.history: list[dict[str, float]] = []
        self.best_epoch, self.best_value = 0, -math.inf
        self.best_raw = np.zeros(len(data.val), np.float32)
        self._loss_sum, self._seen, self._seconds, self._waited = 0.0, 0, 0.0, 0.0
        self._fed_by: TimedLoader | None = None
        self._pending: list[tuple[Tensor, int]] = []
        self._raw: list[Tensor] = []
        self._validated: dict[str, float] = {}
        self._raw_of_epoch = self.best_raw
        self._since = time.monotonic()

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and kept: the moving average where there is one."""
        return self.model if self.average is None else self.average

    # data

    def train_dataloader(self) -> TimedLoader:
        """Return the shuffled and augmented training rows of this rank."""
        self._fed_by = self._loader(
            self.data.train,
            shuffle=True,
            drop_last=self.config.drop_last and len(self.data.train) >= self.config.batch_size,
            seed=self.config.seed,
            augment=self.augment,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return self._fed_by

    def val_dataloader(self) -> Batches:
        """Return this rank's share of the validation rows, in order and never augmented."""
        if len(self.data.val) < self.trainer.world_size:
            raise OptionError(
                "there are fewer validation photographs than devices",
                expected=f"at least {self.trainer.world_size}",
                got=len(self.data.val),
                do="use fewer --devices, or a larger --val-fraction",
            )
        rows = self.data.val[self.trainer.global_rank :: self.trainer.world_size]
        return Batches(self._loader(rows, augment=Augment.none(self.augment.mean, self.augment.std)))

    def _loader(self, rows: np.ndarray[Any, Any], **options: Any) -> TimedLoader:
        each, rest = divmod(self.config.batch_size, self.trainer.world_size)
        if rest or not each:
            raise OptionError(
                "batch_size cannot be shared by the devices",
                expected=f"a multiple of {self.trainer.world_size}",
                got=self.config.batch_size,
            )
        on_device = self.device.type == "cuda"
        return TimedLoader(
            self.data.packs,
            each,
            rows=rows,
            threads=self.config.threads,
            pin_memory=on_device,
            device_augment=on_device,
            channels_last=self.config.channels_last and not on_device,
            verify=VERIFY[self.config.verify],
            **options,
        )

    def transfer_batch_to_device(
        self, batch: tuple[Tensor, ...], device: torch.device, dataloader_idx: int
    ) -> tuple[Tensor, ...]:
        """Move images and labels, as Lightning does; the matrices of the augmentation are needed on the CPU."""
        images, labels, *matrices = batch
        moved: tuple[Tensor, ...] = super().transfer_batch_to_device((images, labels), device, dataloader_idx)
        return *moved, *matrices

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Augment and normalise on the device what the loader left as uint8."""
        images, labels, *matrices = batch
        if matrices:
            images = self.augment.apply_torch(images, matrices[0])
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        return images, labels

    # training (arguments that are not used are part of Lightning's signatures)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer; its learning rate is set before every step."""
        chosen: dict[str, Any] = {"lr": self.config.lr, "weight_decay": self.config.weight_decay}
        if self.config.optimizer == "sgd":
            return torch.optim.SGD(self.model.parameters(), momentum=0.9, nesterov=True, **chosen)
        kind = torch.optim.AdamW if self.config.optimizer == "adamw" else torch.optim.Adam
        return kind(self.model.parameters(), **chosen)

    def on_train_start(self) -> None:
        """Start the clock."""
        self._since = time.monotonic()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:  # noqa: ARG002
        """Set the learning rate and the random generator (dropout) of this step."""
        steps = int(self.trainer.num_training_batches)
        step = self.current_epoch * steps + batch_idx
        rate = learning_rate(self.config, step, steps)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        words = np.random.SeedSequence([self.config.seed, step, self.global_rank]).generate_state(2, np.uint32)
        torch.manual_seed(int(words[0]) << 31 ^ int(words[1]))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the mean loss of a batch."""
        images, labels = batch
        loss = self._loss(self.model(images).squeeze(1).float(), labels)
        self._pending.append((loss.detach(), len(labels)))
        if len(self._pending) >= 64:
            self._count_losses()
        self.log("loss", loss, prog_bar=True, logger=False)
        return loss

    def _loss(self, raw: Tensor, labels: Tensor) -> Tensor:
        return (
            nn.functional.mse_loss(raw, labels)
            if self.config.loss == "mse"
            else nn.functional.smooth_l1_loss(raw, labels)
        )

    def _count_losses(self) -> None:
        """Add up the losses so far; seldom, for it waits for the device."""
        for loss, count in self._pending:
            self._loss_sum += float(loss) * count
            self._seen += count
        self._pending.clear()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the moving average follow."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self._follow(self.average)

    @torch.no_grad()
    def _follow(self, average: nn.Module) -> None:
        """Move the average towards the weights, faster at first.

        The decay is min(ema, (1 + n) / (10 + n)) at step n, as in TensorFlow's ``ExponentialMovingAverage`` with
        ``num_updates``: a short training is then averaged over its last tenth instead of over its beginning.
        """
        step = self.current_epoch * int(self.trainer.num_training_batches) + self.trainer.fit_loop.batch_idx
        weight = 1 - min(self.config.ema, (1 + step) / (10 + step))
        own, other = average.state_dict(), self.model.state_dict()
        floats = [name for name, tensor in own.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([own[name] for name in floats], [other[name] for name in floats], weight)
        for name in own.keys() - set(floats):
            own[name].copy_(other[name])

    # validation

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Keep the raw values of a batch."""
        self._raw.append(self.kept(batch[0]).squeeze(1).float())

    def on_validation_epoch_end(self) -> None:
        """Bring the raw values of all ranks together and measure them."""
        mine = torch.cat(self._raw).cpu().numpy()
        self._raw.clear()
        raw = np.empty(len(self.data.val), np.float32)
        for rank, part in enumerate(_gathered(mine, self.trainer.world_size)):
            raw[rank :: self.trainer.world_size] = part
        if not np.isfinite(raw).all():
            raise _diverged(self.current_epoch + 1)
        labels = self.data.labels[self.data.val]
        measured = summary(labels, raw)
        loss = float(self._loss(torch.from_numpy(raw).double(), torch.from_numpy(labels).double()))
        self._validated = {"val_loss": loss, **{f"val_{name}": measured[name] for name in ("kappa", "mae", "accuracy")}}
        self._raw_of_epoch = raw
        for name in ("val_loss", "val_kappa"):
            self.log(name, self._validated[name], prog_bar=True, logger=False, rank_zero_only=True)

    def on_train_epoch_end(self) -> None:
        """Add the row of this epoch to the history, and see whether it is the best."""
        loss_sum, seen = self._sums()
        train_loss = loss_sum / seen
        if not math.isfinite(train_loss):
            raise _diverged(self.current_epoch + 1)
        row = {"epoch": self.current_epoch + 1, "train_loss": train_loss, **self._validated}
        seconds = self._elapsed()
        row |= {"lr": self.trainer.optimizers[0].param_groups[0]["lr"], "seconds": round(seconds, 3)}
        row["waiting"] = round(self._waited_so_far() / seconds, 5)
        self.history.append(row)
        value = -row["val_loss"] if self.config.monitor == "val_loss" else row["val_kappa"]
        if value > self.best_value or not self.best_epoch:  # an undefined kappa (NaN) is never better
            self.best_epoch, self.best_value = self.current_epoch + 1, -math.inf if math.isnan(value) else value
            self.best_raw = self._raw_of_epoch
        self._loss_sum, self._seen, self._seconds = 0.0, 0, 0.0
        self._waited -= self._waited_so_far()  # the loader's own sum goes on
        self._since = time.monotonic()

    def _sums(self) -> tuple[float, float]:
        """Return the losses of this epoch and their number, over all ranks; all of them have to ask."""
        self._count_losses()
        sums = _gathered(np.array([self._loss_sum, self._seen]), self.trainer.world_size)
        loss_sum, seen = np.sum(sums, axis=0).tolist()
        return loss_sum, seen

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._since

    def _waited_so_far(self) -> float:
        """Return for how many seconds of this epoch the training waited for data, the first batch included."""
        return self._waited + (self._fed_by.waited if self._fed_by else 0.0)

    # resuming

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the history and the sums of an epoch under way, over all ranks."""
        checkpoint[STATE] = {
            "history": copy.deepcopy(self.history),
            "best": (self.best_epoch, self.best_value, torch.from_numpy(self.best_raw)),
            "epoch": (*self._sums(), self._elapsed(), self._waited_so_far()),
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up what :meth:`on_save_checkpoint` left; the sums are the first rank's, whatever number there are."""
        state = checkpoint[STATE]
        self.history = state["history"]
        self.best_epoch, self.best_value, best_raw = state["best"]
        self.best_raw = best_raw.numpy()
        self._loss_sum, self._seen, self._seconds, self._waited = state["epoch"]
        if self.global_rank:
            self._loss_sum, self._seen = 0.0, 0


def _gathered(mine: np.ndarray[Any, Any], world_size: int) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of all ranks, in the order of ranks."""
    if world_size == 1:
        return [mine]
    parts: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(parts, mine)
    return parts


def _diverged(epoch: int) -> RunError:
    return RunError(
        f"training diverged in epoch {epoch}: the loss is no longer a number",
        do="train into a new folder with a smaller --lr, or --precision 32-true",
    )
