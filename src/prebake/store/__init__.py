"""Packs on disk: one standard HDF5 file, written in order, read without HDF5 in the way."""

from prebake.store.codecs import CODECS, codec_named
from prebake.store.layout import FORMAT_VERSION, Header, Row
from prebake.store.many import ManyPacks, open_pack, verify_pack
from prebake.store.mending import mend_pack, not_of_the_format
from prebake.store.merge import merge_packs
from prebake.store.naming import MOST_FILES, expand, file_names, is_pack, member_of, pattern_of
from prebake.store.reader import Pack
from prebake.store.several import PackRows, Packs, publishing_mark
from prebake.store.summary import summary
from prebake.store.writer import PackWriter

__all__ = [
    "CODECS",
    "FORMAT_VERSION",
    "MOST_FILES",
    "Header",
    "ManyPacks",
    "Pack",
    "PackRows",
    "PackWriter",
    "Packs",
    "Row",
    "codec_named",
    "expand",
    "file_names",
    "is_pack",
    "member_of",
    "mend_pack",
    "merge_packs",
    "not_of_the_format",
    "open_pack",
    "pattern_of",
    "publishing_mark",
    "summary",
    "verify_pack",
]
