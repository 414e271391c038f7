"""Batches out of packs.

:class:`Loader` is the fast way: threads, no process boundary, several packs as one, exact resuming.
:class:`PackDataset` is the familiar one: a dataset for ``torch.utils.data.DataLoader``, with any per-image transform.
:class:`QuasiRandom` is an order for slow disks.

The package imports without PyTorch; :class:`Loader` says what to install when it is used without.
"""

from prebake.loader.batches import Loader
from prebake.loader.dataset import PackDataset
from prebake.loader.order import QuasiRandom

__all__ = ["Loader", "PackDataset", "QuasiRandom"]
