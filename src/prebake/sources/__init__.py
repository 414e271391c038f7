"""Where samples come from: folders and archives of photographs, with the tables of labels that lie beside them.

``scan`` lists, ``read_bytes`` reads, ``read_ahead`` reads many in their order. Each published layout is a module of
:mod:`prebake.sources.layouts`.
"""

from prebake.sources.reading import read_ahead, read_bytes
from prebake.sources.scanning import LAYOUTS, Survey, scan, survey

__all__ = ["LAYOUTS", "Survey", "read_ahead", "read_bytes", "scan", "survey"]
