"""How much each client address has open."""

from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from zlib import crc32

BUCKETS = 4096  # of addresses: those of one bucket are counted together
COUNTS = 1 + BUCKETS  # of a process: its total comes first


class AddressCounter:
    """Counts what is open, in all and for each address.

    `counts` has COUNTS numbers for each process, in memory that they share; those of the process `own`
    are ours.
    """

    def __init__(self, counts: MutableSequence[int] | None = None, own: int = 0) -> None:
        self._counts = [0] * COUNTS if counts is None else counts
        self._start = own * COUNTS

    @property
    def total(self) -> int:
        """How much all processes have open."""
        return sum(self._counts[::COUNTS])

    def __getitem__(self, address: str) -> int:
        """Return how much the address has open, in all processes."""
        return sum(self._counts[_position(address) :: COUNTS])

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count one more while the block runs."""
        total, own = self._start, self._start + _position(address)
        self._counts[total] += 1
        self._counts[own] += 1
        try:
            yield
        finally:
            self._counts[total] -= 1
            self._counts[own] -= 1


def _position(address: str) -> int:
    return 1 + crc32(address.encode()) % BUCKETS
