"""A command that is told to end is gone soon, wherever it is, with one line and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BEGIN = """
import os, signal, subprocess, sys, time
from pathlib import Path
from prebake import interrupts
from prebake.files import atomic_path, scratch_folder

def ready():
    print("ready", flush=True)

"""
END = "\nsys.exit(interrupts.run_until_told(run))\n"
LINE = "interrupted: nothing is half written; run the same command again\n"
BLOCKED = """
    import ctypes
    library, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(lock)
    ready()
    library.pthread_mutex_lock(lock)  # for ever, and no signal ends it
"""
DEAF = """
    try:
        ready()
        time.sleep(60)
    except BaseException:
        time.sleep(60)
"""
TRANSLATED = """
    try:
        ready()
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError("numpy.core.multiarray failed to import")
"""
ELSEWHERE = """
    class Late:
        def __del__(self):
            ready()
            time.sleep(60)
    Late()
    raise SystemExit(3)
"""


def start(script: str, **options: object) -> subprocess.Popen[str]:
    """Start a script in a session of its own, and return when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,  # type: ignore[call-overload]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def running(body: str) -> subprocess.Popen[str]:
    return start(f"{BEGIN}def run():{body}{END}")


def told(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str]:
    """Send a signal; return the exit code and what was said."""
    process.send_signal(number)
    said = "".join(process.communicate(timeout=30))
    return process.returncode, said


@pytest.mark.parametrize("body", [BLOCKED, DEAF, TRANSLATED, ELSEWHERE, "\n    ready()\n    time.sleep(60)"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_wherever_a_command_is_it_ends_with_one_line_and_the_code_of_the_signal(body: str, number: int) -> None:
    assert told(running(body), number) == (128 + number, LINE)


def test_what_a_command_promises_is_said() -> None:
    body = "\n    interrupts.promise('run it again')" + DEAF
    assert told(running(body)) == (130, "interrupted: run it again\n")


def test_processes_and_temporary_files_go_with_a_command_that_cannot_clean_up(tmp_path: Path) -> None:
    body = f"""
    os.chdir({str(tmp_path)!r})
    os.environ["TMPDIR"] = os.getcwd()
    children = subprocess.Popen(["sh", "-c", "sleep 60 & echo $! > children; sleep 60"])
    with atomic_path("target") as temporary, scratch_folder("test") as scratch:
        (scratch / "file").touch()
        temporary.touch()
        while not Path("children").exists() or not Path("children").read_text():
            time.sleep(0.01)
        assert len(list(Path().iterdir())) == 3
        {DEAF.replace(chr(10), chr(10) + "    ")}"""
    assert told(running(body)) == (130, LINE)
    assert [path.name for path in tmp_path.iterdir()] == ["children"]
    grandchild, end = Path("/proc", (tmp_path / "children").read_text().strip(), "stat"), time.monotonic() + 30
    while grandchild.exists() and grandchild.read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_worker_processes_that_the_clean_up_waits_for_are_ended_at_once() -> None:
    body = """
    import multiprocessing
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        ready()
        time.sleep(60)
    finally:
        child.join()
        print(child.exitcode, flush=True)"""
    assert told(running(body)) == (130, "-9\n" + LINE)


def test_the_first_worker_process_leaves_interrupts_to_the_driver_too() -> None:
    script = """
import signal
from prebake.packing.local import LocalPool
pool = LocalPool(1)
print(*pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result())
pool.shutdown()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{signal.SIGINT}\n"


def test_what_multiprocessing_tidies_after_the_command_is_not_told() -> None:
    body = f"""
    import multiprocessing
    with interrupts.deaf_children():
        semaphore = multiprocessing.get_context("spawn").Semaphore(){DEAF}"""
    assert told(running(body)) == (130, LINE)


def test_a_second_signal_does_not_end_the_clean_up() -> None:
    body = """
    try:
        ready()
        time.sleep(60)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        print("clean", flush=True)"""
    assert told(running(body)) == (130, "clean\n" + LINE)


def test_a_command_that_ends_all_the_same_has_ended() -> None:
    body = """
    try:
        ready()
        time.sleep(60)
    except KeyboardInterrupt:
        print("done")
    return 0"""
    assert told(running(body)) == (0, "done\n")


def test_a_signal_to_a_command_that_is_done_changes_nothing_while_python_ends() -> None:
    body = """
    class Late:
        def __del__(self, os=os, number=signal.SIGTERM):
            os.write(1, b"ready\\n")
            os.kill(os.getpid(), number)
            os.write(2, b"ended by itself\\n")
    sys.modules["late"] = Late()
    return 0"""
    process = running(body)
    assert process.communicate(timeout=30) == ("", "ended by itself\n")
    assert process.returncode == 0


def test_an_error_that_no_signal_caused_is_an_error() -> None:
    process = running("\n    ready()\n    raise ValueError('of its own')")
    assert process.communicate(timeout=30)[1].endswith("ValueError: of its own\n")
    assert process.returncode == 1


def test_a_forked_process_is_ended_by_itself_and_alone() -> None:
    body = """
    child = os.fork()
    if not child:
        ready()
        time.sleep(60)
    time.sleep(0.5)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    time.sleep(interrupts.GRACE + 0.5)
    return 0"""
    process = running(body)
    assert process.communicate(timeout=30) == ("-15\n", "")
    assert process.returncode == 0


def test_what_a_shell_has_started_in_the_background_does_not_hear_the_terminal() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = running("\n    ready()\n    time.sleep(1)\n    return 0")
    finally:
        signal.signal(signal.SIGINT, before)
    assert told(process) == (0, "")


def test_the_command_listens_before_it_loads_anything_that_takes_long(tmp_path: Path) -> None:
    (tmp_path / "cyclopts.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    script = "import runpy, sys; sys.argv = ['prebake', 'pack']; runpy.run_module('prebake', run_name='__main__')"
    path = f"{tmp_path}{os.pathsep}{Path(__file__).resolve().parents[1] / 'src'}"
    process = start(script, env={**os.environ, "PYTHONPATH": path})
    assert told(process, signal.SIGTERM) == (143, LINE)
