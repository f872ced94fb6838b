import asyncio
import threading

import pytest

from services import qr_code
from services.qr_code import MAX_CODES, QrCodes


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are drawn, with the text itself for a QR code."""
    texts: list[str] = []

    def draw_svg(text: str) -> str:
        texts.append(text)
        return text

    monkeypatch.setattr(qr_code, "draw_svg", draw_svg)
    return texts


async def test_a_qr_code_is_drawn_once(drawn: list[str]) -> None:
    codes = QrCodes()
    assert await asyncio.gather(*(codes.draw("a") for _ in range(5))) == ["a"] * 5
    assert [await codes.draw(text) for text in "aba"] == ["a", "b", "a"]
    assert drawn == ["a", "b"]


async def test_only_the_newest_qr_codes_are_kept(drawn: list[str]) -> None:
    codes = QrCodes()
    texts = [str(number) for number in range(MAX_CODES + 1)]
    for text in [*texts, *texts[1:], texts[0]]:
        assert await codes.draw(text) == text
    assert drawn == [*texts, texts[0]]


async def test_the_event_loop_goes_on_while_one_qr_code_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    finish = threading.Event()

    def draw_svg(text: str) -> str:
        begun.append(text)
        return text if finish.wait(10) else "the event loop stood still"

    monkeypatch.setattr(qr_code, "draw_svg", draw_svg)
    codes = QrCodes()
    drawings = [asyncio.create_task(codes.draw(text)) for text in "ab"]
    while not begun:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # in which a second thread would begin
    assert begun == ["a"]
    finish.set()
    assert await asyncio.gather(*drawings) == ["a", "b"]
