"""Packs on disk: one standard HDF5 file, written in order, read without HDF5 in the way."""

from prebake.store.codecs import CODECS, codec_named
from prebake.store.layout import FORMAT_VERSION, Header, Row
from prebake.store.mending import mend_pack, not_of_the_format
from prebake.store.merge import merge_packs
from prebake.store.reader import Pack, is_pack, open_pack, verify_pack
from prebake.store.several import PackRows, Packs
from prebake.store.summary import summary
from prebake.store.writer import PackWriter

__all__ = [
    "CODECS",
    "FORMAT_VERSION",
    "Header",
    "Pack",
    "PackRows",
    "PackWriter",
    "Packs",
    "Row",
    "codec_named",
    "is_pack",
    "mend_pack",
    "merge_packs",
    "not_of_the_format",
    "open_pack",
    "summary",
    "verify_pack",
]
