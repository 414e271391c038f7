"""List the chunks of a dataset with HDF5, in a process of its own: a hostile index ends that process, not this one.

Only for the indexes that came with HDF5 1.10; neither prebake nor the 2019 kernel wrote any.
"""

from __future__ import annotations

import json
import subprocess
import sys
from array import array
from typing import TYPE_CHECKING

import h5py
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["chunks_by_hdf5"]

SECONDS = 60
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"


def chunks_by_hdf5(dataset: h5py.h5d.DatasetID, handle: int) -> NDArray[np.uint64]:
    """Return place, filter mask, offset and size of every chunk, uint64 (M, dimensions + 3).

    Parameters
    ----------
    dataset
        The dataset.
    handle
        Descriptor of its file.

    Raises
    ------
    ValueError
        HDF5 cannot list them, dies of it, or does not come to an end.
    """
    name = h5py.h5i.get_name(dataset).decode()
    command = [sys.executable, "-c", START.format(module=__name__), json.dumps(sys.path), f"/dev/fd/{handle}", name]
    try:
        done = subprocess.run(command, capture_output=True, pass_fds=[handle], timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ValueError(f"HDF5 does not come to an end of the chunks of {name} in {SECONDS} seconds") from None
    except OSError as error:
        raise ValueError(f"no process could be started in which HDF5 lists the chunks of {name}: {error}") from None
    if done.returncode:
        why = f"signal {-done.returncode}" if done.returncode < 0 else done.stderr.decode(errors="replace").strip()
        raise ValueError(f"HDF5 cannot list the chunks of {name}: {why.splitlines()[-1] if why else 'no reason given'}")
    return np.frombuffer(done.stdout, np.uint64).reshape(-1, len(dataset.shape) + 3)


def main() -> None:
    """Write the chunks of the dataset that the command line names to standard output."""
    found = array("Q")

    def note(info: h5py.h5d.StoreInfo) -> None:
        place, mask, offset, size = info
        found.extend((*place, mask, offset, size))

    with h5py.File(sys.argv[2], "r", locking=False) as file:
        file[sys.argv[3]].id.chunk_iter(note)
    sys.stdout.buffer.write(found.tobytes())
