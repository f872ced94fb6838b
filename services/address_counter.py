"""How much each client address has open."""

import mmap
import os
import secrets
import tempfile
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import cast

BUCKETS = 4096  # of addresses: those of one bucket are counted together
COUNTS_PER_PROCESS = 1 + BUCKETS  # the total comes first
COUNT_BYTES = 4


class AddressCounter:
    """Counts what is open, in all and for each address.

    `counts` has COUNTS_PER_PROCESS numbers for each process, in memory that they share; those of the
    slot are ours. With a secret key of 64 bits, nobody knows which addresses are counted together.
    """

    def __init__(
        self, counts: MutableSequence[int] | None = None, slot: int = 0, key: int | None = None
    ) -> None:
        self._counts = [0] * COUNTS_PER_PROCESS if counts is None else counts
        self._start = slot * COUNTS_PER_PROCESS
        self._key = (secrets.randbits(64) if key is None else key).to_bytes(8)

    @property
    def total(self) -> int:
        """How much all processes have open."""
        return sum(self._counts[::COUNTS_PER_PROCESS])

    def __getitem__(self, address: str) -> int:
        """Return how much the address has open, in all processes."""
        return sum(self._counts[self._bucket(address) :: COUNTS_PER_PROCESS])

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count one more while the block runs."""
        total, bucket = self._start, self._start + self._bucket(address)
        self._counts[total] += 1
        self._counts[bucket] += 1
        try:
            yield
        finally:
            self._counts[total] -= 1
            self._counts[bucket] -= 1

    def _bucket(self, address: str) -> int:
        digest = blake2b(address.encode(), digest_size=4, key=self._key).digest()
        return 1 + int.from_bytes(digest) % BUCKETS


def create_counts(length: int) -> int:
    """Return a new file that holds so many zeros."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("roster")
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, length * COUNT_BYTES)
    return descriptor


def map_counts(descriptor: int) -> MutableSequence[int]:
    """Return the numbers in a file; its processes share them."""
    return cast("MutableSequence[int]", memoryview(mmap.mmap(descriptor, 0)).cast("i"))
