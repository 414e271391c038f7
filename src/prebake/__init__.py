"""prebake: preprocess a folder of photographs once into one HDF5 file, then train and predict at hardware speed."""

from prebake.version import __version__

__all__ = ["__version__"]
