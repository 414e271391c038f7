"""The layouts of published data sets, one a module; the first that fits a table reads it."""

from prebake.sources.layouts import aptos, ddr, eyepacs, folder, idrid, messidor2, odir
from prebake.sources.layouts.base import Layout

__all__ = ["FOLDER", "PUBLISHED", "Layout"]

PUBLISHED = tuple(module.LAYOUT for module in (idrid, messidor2, odir, eyepacs, ddr, aptos))
FOLDER = folder.LAYOUT
