"""Bake on the workers of a dask scheduler. What lies between them and prebake is dask.distributed, nothing else.

Workers get paths and numbers, and give receipts back; pixels go to the folder of the pack, which all of them see under
the same path. So does the folder of the sources. That this is so, and that versions are the same, is asked of every
worker that is there before anything is baked, and of those that come later when they get their first part.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prebake.errors import MissingExtra, PackError
from prebake.files import write_text
from prebake.packing.surroundings import unseen, versions

__all__ = ["ClusterExecutor", "on_cluster"]

LOG = logging.getLogger(__name__)
CONNECT_SECONDS = 15
WATCH_SECONDS = 5

P = ParamSpec("P")
T = TypeVar("T")


class ClusterExecutor(Executor):
    """Runs parts on the workers of a scheduler. Where the scheduler is lost dask answers to none of them, so look.

    Parameters
    ----------
    client
        Connected with the scheduler.
    address
        Of the scheduler, for messages.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._executor: Executor = client.get_executor(pure=False)  # a part that is tried again is another call
        self._next_look, self._deserted = 0.0, False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call on a worker.

        Raises
        ------
        PackError
            The scheduler is lost.
        """
        self._require_scheduler()
        return self._executor.submit(fn, *args, **kwargs)

    def look(self) -> None:
        """See, every few seconds, whether workers are left, and warn once where none is: parts wait for others then.

        Raises
        ------
        PackError
            The scheduler is lost.
        """
        self._require_scheduler()
        if time.monotonic() < self._next_look or self._client.status != "running":
            return
        self._next_look = time.monotonic() + WATCH_SECONDS
        with contextlib.suppress(OSError):  # the connection is about to be lost, or made again
            before, self._deserted = self._deserted, not self._client.nthreads()
            if self._deserted and not before:
                LOG.warning("the scheduler %s has no workers any more; waiting for others", self._address)

    def _require_scheduler(self) -> None:
        if self._client.status in ("closing", "closed"):  # as the client does where it cannot connect again in time
            raise _lost(self._address, f"no answer for {CONNECT_SECONDS} s")


def _lost(address: str, got: object) -> PackError:
    return PackError(
        f"the scheduler {address} is lost",
        expected="a scheduler that runs until the pack is finished",
        got=got,
        do="start it and its workers, then run the same command again: finished parts are kept",
    )


@contextlib.contextmanager
def _reaching(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _lost(address, error) from error


@contextlib.contextmanager
def on_cluster(address: str, folder: Path, sources: Sequence[str]) -> Iterator[Executor]:
    """Connect with a scheduler, wait for a worker, see to it that all can bake, and give what runs parts on them.

    Parameters
    ----------
    address
        Of the scheduler, such as ``tcp://10.0.0.1:8786``.
    folder
        The work folder of the pack.
    sources
        Folders and archives that hold the photographs.

    Raises
    ------
    MissingExtra
        dask.distributed is not installed.
    PackError
        The scheduler cannot be reached, or is lost; or a worker has other versions, or does not see a folder.
    """
    try:
        distributed: Any = importlib.import_module("distributed")  # of an extra, and slow to load
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"{error.name} is not installed", expected="the extra `cluster`", do="pip install 'prebake[cluster]'"
        ) from error
    try:
        distributed.comm.resolve_address(address)  # a client that fails at this is half a minute about it
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (
        OSError,
        ValueError,
        TypeError,
    ) as error:  # of the network, and of addresses
        raise PackError(
            f"the scheduler {address} cannot be reached",
            expected=f"an answer within {CONNECT_SECONDS} s from a dask scheduler, such as tcp://HOST:8786",
            got=error,
            do="see whether it runs (dask scheduler), and whether its port is open from here",
        ) from error
    with client:
        with _reaching(address):
            if not client.nthreads():
                LOG.warning("the scheduler %s has no workers yet; waiting for the first", address)
                client.wait_for_workers(1)
        _require_able(client, address, folder, sources)
        yield ClusterExecutor(client, address)


def look(proof: str, sources: Sequence[str]) -> tuple[str, str, list[str]]:
    """Tell, on a worker, its versions, what it reads in the file beside the pack, and which sources it does not see."""
    try:
        found = Path(proof).read_text(encoding="utf-8")
    except OSError as error:
        found = f"{error.strerror}: {proof}"
    return versions(), found, unseen(sources)


def _require_able(client: Any, address: str, folder: Path, sources: Sequence[str]) -> None:
    proof, here = folder / f"here-{secrets.token_hex(4)}", versions()
    write_text(proof, proof.name)
    try:
        with _reaching(address):
            told: dict[str, Any] = client.run(look, str(proof), list(sources), on_error="return")
    finally:
        proof.unlink(missing_ok=True)
    for worker, answer in told.items():
        if isinstance(answer, OSError):  # its connection; should it come back, it is asked with its first part
            LOG.warning("the worker %s was lost while it was asked what it sees: %s", worker, answer)
            continue
        if isinstance(answer, BaseException):
            raise PackError(
                f"the worker {worker} cannot run prebake",
                expected=here,
                got=f"{type(answer).__name__}: {answer}",
                do="install the same version of prebake there",
            )
        theirs, found, missing = answer
        if theirs != here:
            raise PackError(
                f"the worker {worker} has other versions: its images would be others",
                expected=here,
                got=theirs,
                do="install the same versions there",
            )
        if found != proof.name:
            raise PackError(
                f"the worker {worker} does not see the folder of the pack",
                expected=f"{folder.parent}, a folder that all of them share, under the same path",
                got=found,
                do="choose a target on a shared disk: -o /shared/OUT.h5",
            )
        if missing:
            raise PackError(
                f"the worker {worker} does not see a source",
                expected="the same path on all workers",
                got=f"nothing at {', '.join(missing)}",
                do="give sources on a shared disk",
            )
