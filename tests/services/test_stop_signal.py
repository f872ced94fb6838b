import asyncio
import signal
from collections.abc import Coroutine, Iterator

import pytest

from services.stop_signal import STOP_SIGNALS, StopSignal


@pytest.fixture(autouse=True)
def keep_handlers() -> Iterator[None]:
    """Give pytest its own signal handlers back."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


async def is_cancelled(start: Coroutine[None, None, None]) -> bool:
    """Return whether something cancels it."""
    task = asyncio.create_task(start)
    await asyncio.wait([task], timeout=30)
    is_cancelled = task.cancelled()
    task.cancel()
    return is_cancelled


def send_all_signals() -> None:
    """Send all of them at the same moment."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    for number in STOP_SIGNALS:
        signal.raise_signal(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_each_stop_signal_ends_the_wait(number: signal.Signals) -> None:
    stop_signal = StopSignal()
    waiting = asyncio.create_task(stop_signal.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    signal.raise_signal(number)
    async with asyncio.timeout(30):
        await waiting


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_a_signal_cancels_the_block_at_an_await(number: signal.Signals) -> None:
    stop_signal = StopSignal()
    steps = []

    async def start() -> None:
        with stop_signal.cancels_task():
            signal.raise_signal(number)
            steps.append("after the signal")
            await asyncio.Event().wait()

    assert await is_cancelled(start())
    assert steps == ["after the signal"]


async def test_further_signals_do_not_disturb_the_clean_up() -> None:
    stop_signal = StopSignal()
    steps = []

    async def start() -> None:
        with stop_signal.cancels_task():
            try:
                signal.raise_signal(signal.SIGTERM)
                await asyncio.Event().wait()
            finally:
                for _ in range(10):
                    send_all_signals()
                    await asyncio.sleep(0)
                steps.append("cleaned up")

    assert await is_cancelled(start())
    assert steps == ["cleaned up"]


async def test_two_signals_at_the_same_moment_cancel_once() -> None:
    stop_signal = StopSignal()
    steps = []

    async def start() -> None:
        with stop_signal.cancels_task():
            try:
                send_all_signals()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                steps.append("cleaned up")

    assert await is_cancelled(start())
    assert steps == ["cleaned up"]


async def test_a_signal_after_the_block_cancels_nothing() -> None:
    stop_signal = StopSignal()
    with stop_signal.cancels_task():
        pass
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        await stop_signal.wait()
        await asyncio.sleep(0)


async def test_a_block_is_not_entered_after_a_signal() -> None:
    stop_signal = StopSignal()
    signal.raise_signal(signal.SIGHUP)
    async with asyncio.timeout(30):
        await stop_signal.wait()
    with pytest.raises(asyncio.CancelledError), stop_signal.cancels_task():
        pytest.fail("the block was entered")


def test_signals_after_the_end_of_the_event_loop_are_ignored() -> None:
    async def stop() -> None:
        stop_signal = StopSignal()
        signal.raise_signal(signal.SIGTERM)
        await stop_signal.wait()

    asyncio.run(stop())
    send_all_signals()


def test_a_first_signal_after_the_end_of_the_event_loop_does_nothing() -> None:
    async def end() -> None:
        StopSignal()

    asyncio.run(end())
    send_all_signals()


async def test_nohup_keeps_the_hang_up_signal_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    StopSignal()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL


async def test_sighup_can_be_given_another_meaning() -> None:
    stop_signal, called = StopSignal(), asyncio.Event()
    stop_signal.on_hangup(called.set)
    stopped = asyncio.create_task(stop_signal.wait())
    signal.raise_signal(signal.SIGHUP)
    async with asyncio.timeout(30):
        await called.wait()
    assert not stopped.done()
    signal.raise_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        await stopped
