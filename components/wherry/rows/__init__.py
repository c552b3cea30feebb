"""Reads any file of rows in bounded memory, with exact line numbers; writes the canonical one."""

from wherry.rows.batch import Bad, Batch
from wherry.rows.read import SUFFIXES, read_batches
from wherry.rows.settings import Columns
from wherry.rows.write import RowWriter

__all__ = ["SUFFIXES", "Bad", "Batch", "Columns", "RowWriter", "read_batches"]
