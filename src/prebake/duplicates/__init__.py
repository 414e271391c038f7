"""Photographs that are there more than once: the same file, the same pixels, or all but the same picture."""

from prebake.duplicates.finding import Duplicates, Joined, Pair, find_duplicates
from prebake.duplicates.likeness import similarity

__all__ = ["Duplicates", "Joined", "Pair", "find_duplicates", "similarity"]
