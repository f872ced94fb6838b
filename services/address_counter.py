"""How much each client address has open."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class AddressCounter:
    """Counts what is open, in all and for each address."""

    def __init__(self) -> None:
        self.total = 0
        self._counts: Counter[str] = Counter()

    def __getitem__(self, address: str) -> int:
        """Return how much the address has open."""
        return self._counts[address]

    @contextmanager
    def counting(self, address: str) -> Iterator[None]:
        """Count one more while the block runs."""
        self.total += 1
        self._counts[address] += 1
        try:
            yield
        finally:
            self.total -= 1
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]  # there are many addresses in the world
