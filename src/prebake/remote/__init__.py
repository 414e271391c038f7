"""What lies elsewhere, by URL: photographs are read by range, packs are fetched once into a cache on this machine.

All that speaks to servers is fsspec's, of the extra ``remote``, and is imported when the first URL is asked for. How it
finds credentials is its own affair: none are taken here, and URLs that hold any are refused.
"""

from prebake.remote.ahead import in_order
from prebake.remote.cache import cache_folder, fetch
from prebake.remote.files import BUFFER, DENIED, Found, RemoteFile, find, look, match, prepare, read
from prebake.remote.urls import as_url, local_path, redact

__all__ = [
    "BUFFER",
    "DENIED",
    "Found",
    "RemoteFile",
    "as_url",
    "cache_folder",
    "fetch",
    "find",
    "in_order",
    "local_path",
    "look",
    "match",
    "prepare",
    "read",
    "redact",
]
