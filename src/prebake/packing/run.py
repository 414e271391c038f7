"""Drive an executor through the parts, and get through the death of workers.

When a worker dies, a process pool is of no more use, and all parts under way are lost with it, whichever of them was
the cause. The notes tell which photographs were being baked. Each of these is baked once more, alone in a process of
its own: what kills that too becomes a failure, the others are done. Then all goes on with new processes.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import PackError, PrebakeError
from prebake.files import write_text
from prebake.packing.folder import Outcome, Receipt, seen
from prebake.packing.local import LocalPool, bake_alone
from prebake.packing.worker import Task, bake_part, digest_of, finished_count, under_way

if TYPE_CHECKING:
    from prebake.progress import Progress

__all__ = ["run_tasks"]

LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.2
HOPELESS = 5  # so many deaths before a single photograph was got through, and the fault is not in the photographs


def run_tasks(
    tasks: Sequence[Task],
    executor: Executor | None,
    workers: int,
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
    bar
        Counts photographs.
    take
        Is given each receipt as it comes, in no particular order.

    Raises
    ------
    prebake.errors.PrebakeError
        What a part could not be made for, or when workers die whatever they are given.
    """
    run = Path(tasks[0].run)
    driver = _Driver(run, workers, bar, take, bar.n)
    try:
        waiting = list(tasks)
        while waiting:
            waiting = driver.settle(driver.attempt(waiting, executor))
            if driver.broken and executor is not None:
                LOG.warning("the executor broke when a worker died; local processes bake the rest")
                executor = None
    finally:
        shutil.rmtree(run, ignore_errors=True)


@dataclass
class _Driver:
    """What is known while parts are under way."""

    run: Path
    workers: int
    bar: Progress
    take: Callable[[Receipt], None]
    before: float
    finished: int = 0
    harmless: int = 0
    deaths: int = 0
    barren: int = 0
    broken: bool = False
    trouble: BaseException | None = None

    def attempt(self, tasks: Sequence[Task], executor: Executor | None) -> list[Task]:
        """Run the parts; return those that were lost with a worker."""
        futures: dict[Future[Receipt], Task] = {}
        if executor is not None:
            try:
                return self._run(tasks, executor, futures)
            finally:
                for future in futures:  # the executor stays open, and is not to bake what nobody waits for
                    future.cancel()
        try:
            pool = LocalPool(min(self.workers, len(tasks)))
        except (OSError, NotImplementedError) as error:
            raise PackError(
                "worker processes cannot be started here", got=error, do="see whether /dev/shm is there"
            ) from error
        try:
            lost = self._run(tasks, pool, futures)
        except BaseException:
            pool.kill()  # ends its futures too; where they were cancelled before, its own thread would fail over them
            raise
        pool.shutdown()
        return lost

    def _run(self, tasks: Sequence[Task], executor: Executor, futures: dict[Future[Receipt], Task]) -> list[Task]:
        """Run the parts; ``futures`` always holds those that are under way."""
        lost: list[Task] = []
        answers: queue.SimpleQueue[Future[Receipt]] = queue.SimpleQueue()
        for task in tasks:
            if (future := self._submit(task, executor)) is None:
                lost.append(task)
                continue
            futures[future] = task
            future.add_done_callback(answers.put)
        while futures:
            future = None
            with contextlib.suppress(queue.Empty):
                future = answers.get(timeout=POLL_SECONDS)
            if future is None:  # outside any handler, so that an interrupt here is one error, not two
                self._count()
                continue
            task = futures.pop(future)
            if (receipt := self._receipt(future)) is None:
                lost.append(task)
            else:
                self._add(task, receipt)
        return lost

    def _submit(self, task: Task, executor: Executor) -> Future[Receipt] | None:
        try:
            return executor.submit(bake_part, task)
        except BrokenExecutor as error:
            self.broken, self.trouble = True, error
            return None

    def _receipt(self, future: Future[Receipt]) -> Receipt | None:
        try:
            return future.result()
        except PrebakeError:
            raise
        except (Exception, CancelledError) as error:  # noqa: BLE001 - executors tell the loss of a worker in many ways
            self.broken = self.broken or isinstance(error, BrokenExecutor)
            self.trouble = error
            return None

    def _add(self, task: Task, receipt: Receipt) -> None:
        self.take(receipt)
        self.finished += len(receipt.outcomes)
        self.harmless += sum(not outcome.reason for outcome in receipt.outcomes)
        task.note.unlink(missing_ok=True)
        self._count()

    def _count(self) -> None:
        done = self.before + self.finished + finished_count(self.run)
        self.bar.update(max(done - self.bar.n, 0))

    def settle(self, lost: Sequence[Task]) -> list[Task]:
        """Try alone what was being baked when workers were lost; return the parts for all the rest.

        Those that a death has cut come last: where one photograph kills, its neighbours often do too.
        """
        rest: list[Task] = []
        cut: list[Task] = []
        suspects: list[Task] = []
        for task in lost:
            position = under_way(task)
            task.note.unlink(missing_ok=True)
            if position is None:
                rest.append(task)
                continue
            self.harmless += position
            suspects.append(replace(task, samples=task.samples[position : position + 1]))
            others = task.samples[:position] + task.samples[position + 1 :]
            if others:
                cut.append(replace(task, samples=others))
        self.barren = 0 if suspects or not lost else self.barren + 1
        if self.trouble is not None and self.barren > 2:
            if not isinstance(self.trouble, BrokenExecutor):
                raise self.trouble
            raise PackError(
                "worker processes die before they bake anything",
                do="see whether memory is short, or processes are forbidden here",
            ) from self.trouble
        for task in suspects:
            self._try_alone(task)
        return rest + cut

    def _try_alone(self, task: Task) -> None:
        sample = task.samples[0]
        LOG.info("a worker was lost while it baked %s; trying that one alone", sample.id)
        answer = bake_alone(task)
        if isinstance(answer, Receipt):
            self._add(task, answer)
            return
        cause = _cause(answer)
        outcome = Outcome(sample.id, seen(sample), digest_of(sample), f"the process that baked it died twice ({cause})")
        receipt = Receipt(task.name, task.made_by, (outcome,))
        write_text(Path(task.parts, f"{task.name}.json"), receipt.to_json())
        self._add(task, receipt)
        self.deaths += 1
        if self.deaths >= HOPELESS and not self.harmless:
            raise PackError(
                "worker processes die whatever photograph they are given",
                got=f"{self.deaths} deaths and nothing baked ({cause})",
                do="see whether the recipe crashes, or memory is short",
            )


def _cause(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    hint = ", as when memory runs out" if exit_code == -9 else ""
    return f"signal {-exit_code}{hint}"
