"""The page in a real browser: what is drawn is compared with numpy's reading of the same samples, at chosen points."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ziggurat as zg
from tests.bridges.conftest import DTYPES, plane
from ziggurat.bridges.server import Server, serve
from ziggurat.display.colours import of_labels

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Debian's chromium and chromium-driver are not installed")
_QUIET = ("background-networking", "component-update", "sync", "quic")
_FLAGS = ("--headless=new", "--no-sandbox", "--no-first-run", *(f"--disable-{each}" for each in _QUIET))
_WIDE = 900
PATIENCE = float(os.environ.get("ZIGGURAT_PATIENCE", "30"))


class Page:
    """The viewer in a browser, driven and looked at."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, server: Server, fragment: str = "") -> Page:
        """Opens an address afresh and waits until everything is drawn."""
        self.driver.get("about:blank")
        self.driver.get(f"{server.url}#test=1&{fragment}")
        return self.settled()

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def settled(self) -> Page:
        """Waits until nothing is awaited any more and a frame was drawn since."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            state = self.run("return window.__zig && [window.__zig.pending, window.__zig.drawn, window.__zig.error]")
            if state and state[2]:
                raise AssertionError(state[2])
            if state and not state[0] and state[1]:
                self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[0], 0)))")
                if not self.run("return window.__zig.pending"):
                    return self
            time.sleep(0.02)
        raise AssertionError(f"the page did not come to rest: {state}")

    def level(self) -> int:
        return int(self.run("return window.__zig.level"))

    def pixel(self, rows: float, columns: float) -> tuple[int, ...]:
        """Colour at a place of the world."""
        return tuple(
            self.run(
                """const p = window.__zig.picture, gl = p.renderer.gl, [x, y] = p.toScreen(arguments[0], arguments[1]), out = new Uint8Array(4);
                   gl.readPixels(Math.floor(x), gl.drawingBufferHeight - 1 - Math.floor(y), 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, out); return [...out];""",
                rows,
                columns,
            )
        )[:3]

    def under(self, rows: float, columns: float) -> dict[str, Any]:
        """What the page says lies at a place of the world."""
        return self.run(
            """const p = window.__zig.picture, found = p.under(...p.toScreen(arguments[0], arguments[1]));
               return {level: found.level.index, index: found.index, values: found.values && found.values.map(String), inside: found.inside};""",
            rows,
            columns,
        )  # type: ignore[no-any-return]

    def log(self) -> list[str]:
        """Errors that the browser met."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def asked(self) -> set[str]:
        """Hosts that were asked for anything."""
        found = self.run("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)")
        return set(found)


@contextlib.contextmanager
def browser(width: int = _WIDE, height: int = 700) -> Iterator[Page]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        try:
            yield Page(driver)
        finally:
            driver.quit()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as opened:
        yield opened


def grey(value: float, limits: tuple[float, float]) -> int:
    return int(np.rint(np.clip((value - limits[0]) / (limits[1] - limits[0]), 0, 1) * 255))


def compare(page: Page, pyramid: zg.Pyramid, number: int, points: int = 6) -> None:
    """Compares drawn pixels and readouts with the samples of every level, at places spread over the picture."""
    source = page.run("return (async () => (await fetch('api/source/' + arguments[0])).json())()", number)
    low, high = source["channels"][0]["limits"]
    rng = np.random.default_rng(number)
    for k, level in enumerate(pyramid.levels):
        page.run("[...document.querySelectorAll('#levels button')].find((each) => each.dataset.only === arguments[0]).click()", str(k))
        page.settled()
        assert page.level() == level.index
        samples = np.abs(level.array[...].astype("c16" if level.dtype.kind == "c" else "f8"))
        for _ in range(points):
            index = [int(rng.integers(1, n - 1)) for n in level.shape]
            world = level.to_world(index)
            found = page.under(*world)
            assert found["index"] == index
            assert float({"true": 1, "false": 0}.get(found["values"][0], found["values"][0])) == pytest.approx(
                float(np.float32(samples[tuple(index)])), rel=1e-6
            )
            assert abs(page.pixel(*world)[0] - grey(float(samples[tuple(index)]), (low, high))) <= 1


def test_every_layout_is_drawn_where_it_lies(page: Page, server: Server, numbers: dict[str, int], places: dict[str, Path]) -> None:
    for name, number in numbers.items():
        if name in ("labels", "six axes"):
            continue
        page.open(server, f"s={number}")
        compare(page, zg.open(places[name]), number)
    assert page.log() == []
    assert page.asked() == {page.run("return location.host")}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_drawn(page: Page, tmp_path: Path, dtype: str) -> None:
    zg.build(plane(dtype), tmp_path / "a.zarr", axes="yx", levels=2, reduction="stride", kind="image")
    with serve(tmp_path / "a.zarr") as running:
        compare(page.open(running), zg.open(tmp_path / "a.zarr"), 0, points=4)


def test_labels_have_their_colours_and_their_whole_number(page: Page, server: Server, numbers: dict[str, int], places: dict[str, Path]) -> None:
    page.open(server, f"s={numbers['labels']}&k=0")
    level = zg.open(places["labels"]).levels[0]
    for index in ((10, 10), (75, 120), (140, 199)):
        label = level.array[index]
        found = page.under(*level.to_world(index))
        assert found["values"] == [str(label)]
        expected = of_labels(np.array([label]))[0].astype(int)
        assert np.abs(np.array(page.pixel(*level.to_world(index))) - expected).max() <= 2


def test_sliders_planes_and_six_axes(page: Page, server: Server, numbers: dict[str, int], places: dict[str, Path]) -> None:
    level = zg.open(places["six axes"]).levels[0]
    page.open(server, f"s={numbers['six axes']}&k=0&at=a=1,b=0,t=1,z=2")
    assert page.under(20, 30)["values"] == [str(level.array[1, 0, 1, 2, 20, 30])]
    page.run("const r = document.querySelector('#sliders input[type=range]'); r.value = 0; r.oninput()")
    page.settled()
    assert page.under(20, 30)["values"] == [str(level.array[0, 0, 1, 2, 20, 30])]
    page.run("const r = document.getElementById('rows'); r.value = '3'; r.onchange()")
    page.settled()
    assert page.under(2, 30)["values"] == [str(level.array[0, 0, 1, 2, int(page.run("return window.__zig.picture.picks[4]")), 30])]
    fragment = page.run("return new Promise((done) => setTimeout(() => done(location.hash), 400))")
    assert "r=z" in fragment
    assert "k=0" in fragment


def test_contrast_channels_and_colormaps(page: Page, tmp_path: Path) -> None:
    stack = np.stack([plane("u2"), plane("u2")[::-1]])
    zg.build(stack, tmp_path / "a.zarr", axes="cyx", levels=2)
    with serve(tmp_path / "a.zarr") as running:
        page.open(running, "k=0&l=0,200,1;0,200,1")
        both = page.pixel(30, 100)
        values = stack[:, 30, 100]
        assert abs(both[1] - grey(values[0], (0, 200))) <= 1  # green
        assert abs(both[0] - grey(values[1], (0, 200))) <= 1  # magenta
        page.run("document.querySelector('.channel input[type=checkbox]').click()")
        page.settled()
        assert page.pixel(30, 100)[1] == 0
        page.run("const low = document.querySelectorAll('.channel input[type=number]')[3]; low.value = 50; low.onchange()")
        page.settled()
        assert abs(page.pixel(30, 100)[0] - grey(values[1], (0, 50))) <= 1
        assert page.run("return document.querySelectorAll('.channel canvas').length") == 2
    field = plane("f4") - 50
    field[40:60, 40:60] = np.nan
    zg.build(field, tmp_path / "f.zarr", axes="yx", levels=2)
    with serve(tmp_path / "f.zarr") as running:
        page.open(running, "k=0&m=viridis&l=-50,150,1")
        assert page.pixel(149, 0)[2] > 80  # viridis begins in purple
        red, green, blue = page.pixel(50, 50)
        assert red == green == blue  # the checks of what is missing
        assert page.under(50, 50)["values"] == ["NaN"]
        page.run("document.getElementById('auto').click()")
        low, high = page.run("return window.__zig.picture.look.channels[0].limits")
        assert -50 <= low < high <= float(np.nanmax(field))


def test_a_level_that_lies_elsewhere_is_seen(page: Page, tmp_path: Path) -> None:
    zg.build(plane("f4"), tmp_path / "a.zarr", axes="yx", levels=3)
    document = json.loads((tmp_path / "a.zarr" / "zarr.json").read_text())
    datasets = document["attributes"]["ome"]["multiscales"][0]["datasets"]
    datasets[2]["coordinateTransformations"][1]["translation"] = [1.5, 21.5]
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps(document))
    with serve(tmp_path / "a.zarr") as running:
        page.open(running, "k=2")
        shifted = float(page.under(70, 100)["values"][0])
        page.open(running, "k=1")
        assert float(page.under(70, 100)["values"][0]) - shifted == pytest.approx(20, abs=3)
        page.run("document.getElementById('blink').click()")
        seen = set()
        for _ in range(30):
            seen.add(page.run("return window.__zig.picture.only"))
            time.sleep(0.1)
        assert seen == {1, 2}


def test_keys_wheel_and_the_level_by_zoom(page: Page, server: Server, numbers: dict[str, int]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    page.open(server, f"s={numbers['ome-zarr@0.5']}")
    first = page.level()
    stage = page.driver.find_element(By.ID, "stage")
    for _ in range(8):
        stage.send_keys("-")
    assert page.settled().level() == 2 >= first
    stage.send_keys("0")
    ActionChains(page.driver).move_to_element(stage).click_and_hold().move_by_offset(60, 30).release().perform()
    moved = page.settled().run("return [window.__zig.picture.centre.columns, window.__zig.picture.step]")
    assert moved[0] != pytest.approx(52.25, abs=moved[1])
    stage.send_keys("t")
    assert page.run("return document.documentElement.classList.contains('light')") in (True, False)
    assert "µm" in page.run("return document.getElementById('length').textContent")
    assert "level" in page.run("return document.getElementById('readout').textContent")
    assert page.log() == []


def test_a_narrow_screen_is_enough(server: Server) -> None:
    with browser(500, 800) as small:
        small.driver.set_window_size(360, 740)
        small.open(server, "s=0")
        assert small.run("return document.documentElement.scrollWidth <= innerWidth")
        assert small.run("return document.getElementById('panel').classList.contains('closed')")
        small.run("document.getElementById('menu').click()")
        assert small.run("return document.getElementById('panel').getBoundingClientRect().right <= innerWidth + 1")
        assert small.settled().run("return window.__zig.picture.canvas.clientHeight") > 200


def test_what_cannot_be_read_is_told_in_the_page(page: Page, tmp_path: Path) -> None:
    zg.build(plane(), tmp_path / "a.zarr", axes="yx", levels=1)
    for chunk in (path for path in (tmp_path / "a.zarr" / "0" / "c").rglob("*") if path.is_file()):
        chunk.write_bytes(b"nothing that decodes")
    with serve(tmp_path / "a.zarr") as running:
        page.driver.get("about:blank")
        page.driver.get(f"{running.url}#test=1")
        for _ in range(int(PATIENCE * 20)):
            text = page.run("return document.getElementById('message')?.textContent")
            if text:
                break
            time.sleep(0.05)
        assert "chunk" in text or "decod" in text


def test_neuroglancer_draws_the_virtual_tree(page: Page, server: Server, numbers: dict[str, int]) -> None:
    for name in ("cosem, N5", "labels"):
        page.driver.get("about:blank")
        page.driver.get(server.urls(numbers[name])["3d"])
        for _ in range(int(PATIENCE * 5)):
            if page.run("return document.querySelectorAll('canvas').length > 0 && !!window.viewer && window.viewer.isReady && window.viewer.isReady()"):
                break
            time.sleep(0.2)
        messages = page.run("return [...document.querySelectorAll('.neuroglancer-layer-data-source-messages')].map((each) => each.textContent)")
        assert not any(messages), messages
        page.driver.execute_async_script("setTimeout(arguments[0], 600)")
        from io import BytesIO

        import imagecodecs

        shot = imagecodecs.png_decode(BytesIO(page.driver.get_screenshot_as_png()).getvalue())
        assert len(np.unique(shot[100:400, 100:500].reshape(-1, shot.shape[-1]), axis=0)) > 5, name
