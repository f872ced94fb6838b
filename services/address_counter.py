"""How much each client address has open."""

from collections import Counter
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager


class AddressCounter:
    """Counts what is open, in all and for each address.

    `totals` has a total for each process, in memory that they share; the one at `own` is ours. The
    counts of addresses are those of this process.
    """

    def __init__(self, totals: MutableSequence[int] | None = None, own: int = 0) -> None:
        self._totals = [0] if totals is None else totals
        self._own = own
        self._counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How much all processes have open."""
        return sum(self._totals)

    def __getitem__(self, address: str) -> int:
        """Return how much the address has open."""
        return self._counts[address]

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count one more while the block runs."""
        self._totals[self._own] += 1
        self._counts[address] += 1
        try:
            yield
        finally:
            self._totals[self._own] -= 1
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]  # there are many addresses in the world
