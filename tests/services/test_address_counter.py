from services.address_counter import AddressCounter


def test_what_is_open_is_counted_for_each_address_and_together() -> None:
    counter = AddressCounter()
    with counter.counting("192.0.2.7"), counter.counting("192.0.2.7"), counter.counting("192.0.2.8"):
        assert (counter["192.0.2.7"], counter["192.0.2.8"], counter.total) == (2, 1, 3)
    assert (counter["192.0.2.7"], counter["192.0.2.8"], counter.total) == (0, 0, 0)
