"""Drive an executor through the parts; get through the death of workers, and through decoders that hang or take all.

The notes tell which photograph was being baked when a worker was lost. What was before and after it goes on as parts of
their own. The photograph itself is baked once more, when nothing else is: what kills its worker then too becomes a
failure, and so does at once what takes longer than the limit.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import PackError, PrebakeError
from prebake.files import write_text
from prebake.packing.cluster import ClusterExecutor
from prebake.packing.folder import Outcome, Receipt, seen
from prebake.packing.limits import LOOK_SECONDS, Limits, Stopwatch, own_memory
from prebake.packing.local import LocalPool, WorkerLost
from prebake.packing.worker import Task, bake_part, begun, digest_of, under_way

if TYPE_CHECKING:
    from prebake.progress import Progress

__all__ = ["run_tasks"]

LOG = logging.getLogger(__name__)
HOPELESS = 5  # so many losses before a single photograph was got through, and the fault is not in the photographs
ROUNDS = 3  # so many in a row that nothing came of, and the fault is not in the photographs


def run_tasks(
    tasks: Sequence[Task],
    executor: Executor | None,
    workers: int,
    limits: Limits,
    bar: Progress,
    take: Callable[[Receipt], None],
) -> None:
    """Bake all parts.

    Parameters
    ----------
    tasks
        The parts; all have the same run folder, which is removed in the end.
    executor
        Where to bake; ``None`` for processes of our own. One that a dying worker breaks is replaced by such processes.
    workers
        How many processes of our own.
    limits
        What processes of our own are held to. Those of another executor are out of reach.
    bar
        Counts photographs.
    take
        Is given each receipt as it comes, in no particular order.

    Raises
    ------
    prebake.errors.PrebakeError
        What a part could not be made for, or when workers die, or take too long, whatever they are given.
    """
    run = Path(tasks[0].run)
    driver = _Driver(run, limits, bar, take, bar.n)
    try:
        waiting = list(tasks)
        while waiting:
            waiting = driver.round(waiting, executor, workers)
            if driver.broken and executor is not None:
                LOG.warning("the executor broke when a worker died; local processes bake the rest")
                executor = None
    finally:
        shutil.rmtree(run, ignore_errors=True)


@dataclass
class _Driver:
    """What is known while parts are under way.

    ``harmless`` counts photographs that workers got through, ``parts`` holds what was handed out, by name, ``rest`` the
    parts for the next round, ``suspects`` the photographs that workers were at when they were lost, and ``ended``, for
    each part whose worker was ended from here, the photograph (counted from 1) and the reason.
    """

    run: Path
    limits: Limits
    bar: Progress
    take: Callable[[Receipt], None]
    before: float
    harmless: float = 0
    finished: int = 0
    losses: int = 0
    deaths: int = 0
    overdue: int = 0
    barren: int = 0
    alone: bool = False
    broken: bool = False
    trouble: BaseException | None = None
    parts: dict[str, Task] = field(default_factory=dict)
    rest: list[Task] = field(default_factory=list)
    suspects: list[Task] = field(default_factory=list)
    ended: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin to measure."""
        self.stopwatch = Stopwatch(self.limits.seconds)

    def round(self, tasks: Sequence[Task], executor: Executor | None, workers: int) -> list[Task]:
        """Run the parts, then alone what workers were lost at; return the parts that remain."""
        finished, self.losses = self.finished, 0
        if executor is None:
            self._locally(tasks, workers)
        else:
            self._run(tasks, executor)
        suspects, self.suspects = self.suspects, []
        if suspects:
            LOG.info("workers were lost at %s; trying these alone", ", ".join(task.samples[0].id for task in suspects))
            self.alone = True
            self._locally(suspects, 1)
            self.alone = False
        rest, self.rest = self.rest, []
        self.barren = self.barren + 1 if rest and finished == self.finished else 0
        if self.barren >= ROUNDS and self.trouble is not None:
            if not isinstance(self.trouble, BrokenExecutor):
                raise self.trouble
            raise PackError(
                "worker processes die before they bake anything",
                do="see whether memory is short, or processes are forbidden here",
            ) from self.trouble
        return rest

    def _locally(self, tasks: Sequence[Task], workers: int) -> None:
        try:
            pool = LocalPool(min(workers, len(tasks)))
        except (OSError, RuntimeError) as error:  # Python says the latter where it can start no thread
            raise PackError(
                "worker processes cannot be started here", got=error, do="see whether processes or memory are limited"
            ) from error
        try:
            self._run(tasks, pool, pool)
        except BaseException:
            pool.kill()
            raise
        pool.shutdown()

    def _run(self, tasks: Sequence[Task], executor: Executor, pool: LocalPool | None = None) -> None:
        """Run the parts on an executor; where that is a pool of our own, within the limits."""
        futures: dict[Future[Receipt], Task] = {}
        answers: queue.SimpleQueue[Future[Receipt]] = queue.SimpleQueue()
        waiting, look = list(tasks), time.monotonic()
        try:
            while (waiting or futures) and not self._in_vain:
                for task in waiting:
                    if (submitted := self._submit(task, executor)) is not None:
                        futures[submitted] = task
                        submitted.add_done_callback(answers.put)
                waiting, future = [], None
                with contextlib.suppress(queue.Empty):
                    future = answers.get(timeout=max(look - time.monotonic(), 0))
                if time.monotonic() >= look:  # outside any handler, so that an interrupt here is one error, not two
                    self._look(futures, executor)
                    look = time.monotonic() + LOOK_SECONDS
                if future is not None:
                    waiting = self._settle(futures.pop(future), future)
        finally:
            if pool is None:  # it stays open, and is not to bake what nobody waits for
                for future in futures:
                    future.cancel()
        if pool is not None and futures:
            pool.kill()
        self.rest += waiting
        for task in futures.values():
            task.note.unlink(missing_ok=True)
            self.rest.append(task)

    @property
    def _in_vain(self) -> bool:
        """Whether so many workers were lost, and nothing got through, that photographs are to be tried alone first."""
        return self.losses >= HOPELESS and not self.alone and not self.harmless

    def _submit(self, task: Task, executor: Executor) -> Future[Receipt] | None:
        try:
            future = executor.submit(bake_part, task)
        except BrokenExecutor as error:
            self.broken, self.trouble = True, error
            self.rest.append(task)
            return None
        self.parts[task.name] = task
        return future

    def _look(self, futures: Mapping[Future[Receipt], Task], executor: Executor) -> None:
        """See what is done, and end what is over a limit, or name it where it is out of reach."""
        at = self._under_way()
        late = self.stopwatch.overdue(at)
        if isinstance(executor, LocalPool):
            self._end(futures, executor, at, late)
            return
        for name in late:
            sample = self.parts[name].samples[at[name] - 1]
            LOG.warning("%s: %s, or its worker is lost; it cannot be ended from here", sample.id, self.limits.too_long)
        if isinstance(executor, ClusterExecutor):
            executor.look()

    def _end(
        self, futures: Mapping[Future[Receipt], Task], pool: LocalPool, at: Mapping[str, int], late: Sequence[str]
    ) -> None:
        """End what is over a limit."""
        running = [(number, future, futures.get(future) if future else None) for number, future in pool.running()]
        over = [(*work, self.limits.too_long) for work in running if late and work[2] and work[2].name in late]
        if largest := self.limits.largest((own_memory(work[0]), work) for work in running):
            over.append((*largest, self.limits.too_much))
        for number, future, task, reason in over:
            if task is not None:
                self.ended.setdefault(task.name, (at.get(task.name, 0), reason))
                LOG.info("ending worker process %d: %s", number, reason)
            pool.end(number, future)

    def _under_way(self) -> dict[str, int]:
        """Show what is done; return the photograph, counted from 1, that each part is at."""
        counts = self._count()
        return {name: n for name, n in counts.items() if name in self.parts and 0 < n <= len(self.parts[name].samples)}

    def _settle(self, task: Task, future: Future[Receipt]) -> list[Task]:
        """Take the answer to a part; return the parts that are to be run instead where there is none."""
        name = task.name
        self.parts.pop(name, None)
        ended = self.ended.pop(name, (0, ""))
        try:
            receipt = future.result()
        except PrebakeError:
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - executors tell the loss of a worker in many ways
            self.broken = self.broken or (isinstance(error, BrokenExecutor) and not isinstance(error, WorkerLost))
            self.trouble = error
            return self._lose(task, error, ended)
        self._add(task, receipt)
        return []

    def _add(self, task: Task, receipt: Receipt) -> None:
        self.take(receipt)
        self.finished += len(receipt.outcomes)
        self.harmless += sum(not outcome.reason for outcome in receipt.outcomes)
        task.note.unlink(missing_ok=True)
        self._count()

    def _count(self) -> dict[str, int]:
        """Show how many photographs are done; return how many are begun in each part."""
        counts = begun(self.run)
        done = self.before + self.finished + sum(max(count - 1, 0) for count in counts.values())
        self.bar.update(max(done - self.bar.n, 0))
        return counts

    def _lose(self, task: Task, error: BaseException, ended: tuple[int, str]) -> list[Task]:
        """Find out which photograph a worker was lost at; return what was before and after it as parts."""
        self.losses += 1
        position = under_way(task)
        task.note.unlink(missing_ok=True)
        if self.alone and not isinstance(error, WorkerLost):
            raise error
        if position is None and not self.alone:
            self.rest.append(task)
            return []
        position = position or 0
        self.harmless += position
        samples = task.samples
        reason = ended[1] if ended[0] == position + 1 else ""  # else it went on in the last moment
        suspect = replace(task, samples=samples[position : position + 1])
        if reason == self.limits.too_long:
            self._fail(suspect, reason, "")
            self._check_overdue()
        elif isinstance(error, WorkerLost) and self.alone:
            self._die(suspect, error, reason)
        else:
            self.suspects.append(suspect)
        return [replace(task, samples=part) for part in (samples[:position], samples[position + 1 :]) if part]

    def _fail(self, task: Task, reason: str, digest: str) -> None:
        """Make a photograph a failure; without a digest it counts as not tried, and another call tries it again."""
        sample = task.samples[0]
        receipt = Receipt(task.name, task.made_by, (Outcome(sample.id, seen(sample), digest, reason),))
        write_text(Path(task.parts, f"{task.name}.json"), receipt.to_json())
        self._add(task, receipt)

    def _die(self, task: Task, lost: WorkerLost, reason: str) -> None:
        cause = reason or _cause(lost.exit_code)
        if reason:
            self._fail(task, reason, "")
        else:
            self._fail(task, f"the process that baked it died twice ({cause})", digest_of(task.samples[0]))
        self.deaths += 1
        if self.deaths >= HOPELESS and not self.harmless and not self.before:
            raise PackError(
                "worker processes die whatever photograph they are given",
                got=f"{self.deaths} deaths and nothing baked ({cause})",
                do="see whether the recipe crashes, or memory is short",
            )

    def _check_overdue(self) -> None:
        self.overdue += 1
        if self.overdue >= HOPELESS and not self.harmless and not self.before:
            raise PackError(
                f"photographs take longer than the time limit of {self.limits.seconds:g} s, whichever it is",
                got=f"{self.overdue} of them, and nothing baked",
                do="see whether the recipe hangs, or give it more time: --time-limit SECONDS",
            )


def _cause(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    hint = ", as when memory runs out" if exit_code == -9 else ""
    return f"signal {-exit_code}{hint}"
