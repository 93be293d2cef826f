"""The live figures in a real browser, opened from disk: their numbers against scipy, and every way to move a handle."""

import importlib.util
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from browser import HOW_TO_GET, chromium, find, resize, traffic
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from cellmnn_edu.coursework import markdown

ROOT = Path(__file__).parents[1]
LIVE = ROOT / "book/extra/live"
FIGURES = ["operator", "blend"]


@pytest.fixture(scope="module")
def browser():
    if find() is None:
        (pytest.fail if os.environ.get("CELLMNN_EDU_REQUIRE_BROWSER") == "1" else pytest.skip)(HOW_TO_GET)
    with chromium() as driver:
        yield driver


def prefer(browser, theme: str = "light", motion: str = "no-preference") -> None:
    features = {"prefers-color-scheme": theme, "prefers-reduced-motion": motion}
    listed = [{"name": name, "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})


@pytest.fixture
def opened(browser):
    """Open a figure on its own page, wide and light; the console must stay empty to the end."""
    prefer(browser)
    resize(browser, 1400, 1100)
    browser.get("about:blank")
    traffic(browser)
    browser.get_log("browser")

    def page(name):
        browser.get((LIVE / f"{name}.html").as_uri())
        return browser

    yield page
    assert [entry["message"] for entry in browser.get_log("browser")] == []


def state(browser) -> SimpleNamespace:
    """What the figure on the page says that it shows."""
    return SimpleNamespace(**browser.execute_script("return window.cellmnnLive.figures[0].state()"))


def handle(browser, label: str):
    """The visible handle whose label begins like this."""
    found = browser.find_elements(By.CSS_SELECTOR, f'.cl-handle[aria-label^="{label}"]')
    return next(element for element in found if element.is_displayed())


def press(browser, label: str, *keys: str) -> None:
    browser.execute_script("arguments[0].focus()", handle(browser, label))
    ActionChains(browser).send_keys(*keys).perform()


def press_with_shift(browser, label: str, key: str) -> None:
    browser.execute_script("arguments[0].focus()", handle(browser, label))
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT).perform()


def choose(browser, value: str) -> None:
    browser.find_element(By.CSS_SELECTOR, f'input[type="radio"][value="{value}"]').click()


def type_operator(browser, A) -> None:
    """Put four numbers into the boxes of A, one after the other."""
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    for entry, x in zip(browser.find_elements(By.CSS_SELECTOR, ".cl-entries input"), np.ravel(A), strict=True):
        browser.execute_script(script, entry, repr(float(x)))


def slide(browser, label: str, value: float) -> None:
    """Set a slider, found by its label, as a hand would: to the nearest value it can have."""
    (control,) = [e for e in browser.find_elements(By.CSS_SELECTOR, "input[type=range]") if e.accessible_name == label]
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    browser.execute_script(script, control, value)


def point(z) -> str:
    """A place as the page writes it; rounding never gives a negative zero there."""
    return "({}, {})".format(*(f"{x:.2f}".replace("-0.00", "0.00").replace("-", "−") for x in z))


def numbers(browser, selector: str) -> np.ndarray:
    """The numbers that a reader sees."""
    texts = [element.text for element in browser.find_elements(By.CSS_SELECTOR, selector)]
    return np.array([float(text.replace("−", "-")) for text in texts])


def operator(kind: str, values, degrees) -> np.ndarray:
    """The operator with these eigenvalues and directions, by its definition."""
    angles = np.radians(degrees)
    R = np.array([np.cos(angles), np.sin(angles)])
    a, b = values
    return R @ (np.diag(values) if kind == "real" else np.array([[a, -b], [b, a]])) @ np.linalg.inv(R)


def matrices() -> list[tuple[np.ndarray, float]]:
    """Twenty operators and times: real, complex, defective, nearly so in both directions, zero, of large norm."""
    rng = np.random.default_rng(7)
    made = [rng.normal(size=(2, 2)) for _ in range(6)]
    made += [operator("complex", rng.uniform(0.2, 2, 2), rng.uniform(0, 80, 2) + np.array([0, 90])) for _ in range(3)]
    for gap in (0, 0, 1e-9, -1e-9, 1e-6, -1e-6, 1e-4, -1e-4):  # the eigenvalues are s +- sqrt(gap)
        Q = np.linalg.qr(rng.normal(size=(2, 2)))[0]
        made.append(Q @ np.array([[rng.normal(), 1], [gap, 0]]) @ Q.T)
        made[-1] += np.diag([0.3, 0.3]) - Q @ np.diag([(Q.T @ made[-1] @ Q)[0, 0], 0]) @ Q.T
    made += [np.zeros((2, 2)), 40 * rng.normal(size=(2, 2)), np.array([[-60.0, 200.0], [-180.0, -50.0]])]
    return [(A, float(t)) for A, t in zip(made, rng.uniform(0.05, 5, len(made)), strict=True)]


def test_the_twenty_operators_are_what_they_should_be():
    tried = [A for A, _ in matrices()]
    gaps = np.array([((A[0, 0] - A[1, 1]) / 2) ** 2 + A[0, 1] * A[1, 0] for A in tried])
    assert len(tried) == 20
    assert (gaps < -0.01).sum() >= 4
    assert (gaps > 0.01).sum() >= 4
    assert np.allclose(sorted(gaps[9:17]), [-1e-4, -1e-6, -1e-9, 0, 0, 1e-9, 1e-6, 1e-4], atol=1e-15)
    assert max(np.linalg.norm(A) for A in tried) > 100


@pytest.mark.browser
def test_the_exponential_is_that_of_scipy(opened):
    page = opened("operator")
    for A, t in [*matrices(), *((A, -t / 10) for A, t in matrices())]:
        got = page.execute_script(
            "return window.cellmnnLive.expm2(...arguments[0], arguments[1])", A.ravel().tolist(), t
        )
        want = expm(A * t)
        assert np.linalg.norm(np.reshape(got, (2, 2)) - want) <= 1e-6 * np.linalg.norm(want), (A, t)


@pytest.mark.browser
def test_the_exponential_of_a_fast_operator_stays_finite(opened):
    got = opened("operator").execute_script("return window.cellmnnLive.expm2(-3000, 0, 0, -1, 2)")
    assert got == pytest.approx([0, 0, 0, np.exp(-2)], abs=1e-12)


TYPED = [
    ([[-1.3, 0.4], [0.7, -0.8]], "real", "Sink"),
    ([[0.5, 0.2], [0.0, 0.9]], "real", "Source"),
    ([[0.5, 2.0], [0.1, -0.9]], "real", "Saddle"),
    ([[0.0, 0.0], [1.5, -0.5]], "real", "A line of resting cells"),
    ([[-0.4, -1.7], [0.6, -0.1]], "complex", "Spiral in"),
    ([[0.2, 1.4], [-0.3, 0.1]], "complex", "Spiral out"),
    ([[0.5, -1.0], [2.0, -0.5]], "complex", "Centre"),
    ([[0.3, 0.0], [0.8, 0.3]], "defective", "Defective source"),
    ([[-1.0, 1.0], [-1.0, 1.0]], "defective", "Shear (defective)"),
    ([[-1.5, 0.25], [-1.0, -0.5]], "defective", "Defective sink"),
    ([[0.0, 0.0], [0.0, 0.0]], "real", "Nothing moves"),
    ([[-0.7, 0.0], [0.0, -0.7]], "real", "Sink"),
    ([[0.25, 1.0], [1e-7, 0.25]], "real", "Source"),
    ([[3.0, -4.0], [5.0, 1.0]], "complex", "Spiral out"),
]


@pytest.mark.browser
def test_the_numbers_on_the_page_are_those_of_the_typed_operator(opened):
    page = opened("operator")
    slide(page, "time t", 1.37)
    for A, kind, name in TYPED:
        type_operator(page, A)
        now = state(page)
        assert np.array_equal(np.reshape(now.A, (2, 2)), A), "what was typed, to the last digit"
        assert (now.kind, page.find_element(By.CSS_SELECTOR, ".cl-name strong").text) == (kind, name)
        E = expm(np.array(A) * 1.37)
        assert numbers(page, ".cl-shown span").reshape(2, 2) == pytest.approx(E, abs=0.0005 + 1e-9)
        assert np.reshape(now.E, (2, 2)) == pytest.approx(E, rel=1e-9, abs=1e-12)
        assert now.here == pytest.approx(E @ now.z0)
        assert point(now.here) in page.find_element(By.CSS_SELECTOR, ".cl-readout").text
        values = np.linalg.eigvals(np.array(A))
        if kind == "complex":
            assert now.values == pytest.approx([values[0].real, abs(values[0].imag)])
        else:
            assert now.values[0] == pytest.approx(max(values.real), abs=1e-6)
        # The handles say the same operator again.
        again = page.execute_script("return window.cellmnnLive.toMatrix(arguments[0])", vars(now))
        assert np.reshape(again, (2, 2)) == pytest.approx(np.array(A), abs=1e-6)
        if kind != "defective":
            assert operator(kind, now.values, np.degrees(now.angles)) == pytest.approx(np.array(A), abs=1e-6)


@pytest.mark.browser
def test_half_typed_numbers_wait(opened):
    page = opened("operator")
    before = state(page).A
    entry = page.find_element(By.CSS_SELECTOR, ".cl-entries input")
    page.execute_script("arguments[0].select()", entry)
    entry.send_keys("-")
    assert entry.get_attribute("aria-invalid") == "true"
    assert "four numbers" in page.find_element(By.CSS_SELECTOR, ".cl-note").text
    assert before == state(page).A
    page.execute_script("arguments[0].select()", entry)
    entry.send_keys("-0.25")
    assert entry.get_attribute("aria-invalid") == "false"
    assert entry.get_attribute("value") == "-0.25"
    boxes = page.find_elements(By.CSS_SELECTOR, ".cl-entries input")
    assert [float(box.get_attribute("value")) for box in boxes] == state(page).A
    assert np.reshape(state(page).E, (2, 2)) == pytest.approx(expm(np.reshape(state(page).A, (2, 2)) * state(page).t))


@pytest.mark.browser
def test_keys_move_eigenvalues_and_directions_of_a_real_pair(opened):
    page = opened("operator")
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(operator("real", [-0.25, -1.4], [20, 105]))
    press(page, "Eigenvalue 1", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    press_with_shift(page, "Eigenvalue 2", Keys.ARROW_LEFT)
    press(page, "Direction v₁", Keys.ARROW_UP)
    press_with_shift(page, "Direction v₂", Keys.ARROW_LEFT)
    want = operator("real", [-0.05, -1.9], [22, 95])
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(want, abs=1e-6)
    shown = [float(e.get_attribute("value")) for e in page.find_elements(By.CSS_SELECTOR, ".cl-entries input")]
    assert np.reshape(shown, (2, 2)) == pytest.approx(want, abs=0.0005 + 1e-6)
    press(page, "Eigenvalue 1", Keys.ARROW_UP)
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(want, abs=1e-6)
    assert "stay on the real axis" in page.find_element(By.CSS_SELECTOR, ".cl-note").text
    assert handle(page, "Eigenvalue 1").get_attribute("aria-valuetext") == "−0.05"


@pytest.mark.browser
def test_real_eigenvalues_that_meet_leave_the_axis_and_come_back(opened):
    page = opened("operator")
    type_operator(page, operator("real", [0.3, 0.1], [10, 80]))
    press(page, "Eigenvalue 1", Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_UP)
    now = state(page)
    assert now.kind == "complex"
    assert np.reshape(now.A, (2, 2)) == pytest.approx(operator("complex", [0.1, 0.1], [10, 80]), abs=1e-6)
    press(page, "Eigenvalue 2", Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(operator("complex", [0.2, 0.2], [10, 80]), abs=1e-6)
    press(page, "Direction v", Keys.ARROW_RIGHT)
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(operator("complex", [0.2, 0.2], [10, 82]), abs=1e-6)
    press(page, "Eigenvalue 1", Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert (state(page).kind, state(page).values) == ("real", pytest.approx([0.2, 0.2]))
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(0.2 * np.eye(2), abs=1e-9)


@pytest.mark.browser
def test_directions_do_not_become_parallel_by_hand(opened):
    page = opened("operator")
    type_operator(page, operator("real", [0.5, -0.5], [35, 30]))
    press(page, "Direction v₁", *[Keys.ARROW_LEFT] * 4)
    gap = np.subtract(*np.degrees(state(page).angles))
    assert gap == pytest.approx(2)
    assert "2° apart" in page.find_element(By.CSS_SELECTOR, ".cl-note").text
    assert np.reshape(state(page).A, (2, 2)) == pytest.approx(operator("real", [0.5, -0.5], [32, 30]), rel=1e-6)
    press_with_shift(page, "Direction v₁", Keys.ARROW_LEFT)
    assert np.degrees(state(page).angles[0]) == pytest.approx(22), "Shift jumps across"
    # A typed operator may have them closer; the first move by hand opens them.
    type_operator(page, [[0.25, 1.0], [1e-8, 0.25]])
    assert abs(np.subtract(*np.degrees(state(page).angles))) < 0.1
    press(page, "Eigenvalue 1", Keys.ARROW_RIGHT)
    assert abs(np.subtract(*np.degrees(state(page).angles))) == pytest.approx(2)
    assert "2° apart" in page.find_element(By.CSS_SELECTOR, ".cl-note").text


@pytest.mark.browser
def test_a_defective_operator_keeps_one_eigenvector_while_it_is_moved(opened):
    page = opened("operator")
    choose(page, "defective")
    press(page, "Direction v", Keys.ARROW_UP, Keys.ARROW_UP)
    press(page, "Eigenvalue", Keys.ARROW_RIGHT)
    now = state(page)
    A, s = np.reshape(now.A, (2, 2)), now.values[0]
    v = np.array([np.cos(now.angles[0]), np.sin(now.angles[0])])
    N = A - s * np.eye(2)
    assert np.degrees(now.angles[0]) == pytest.approx(24)
    assert s == pytest.approx((-0.25 - 1.4) / 2 + 0.1)
    assert np.array([*N @ v, *(N @ N).ravel()]) == pytest.approx(np.zeros(6), abs=1e-12)
    assert N @ [-v[1], v[0]] == pytest.approx(now.values[1] * v)
    choose(page, "complex")
    choose(page, "real")
    assert np.linalg.eigvals(np.reshape(state(page).A, (2, 2))).imag == pytest.approx([0, 0])


@pytest.mark.browser
def test_examples_show_what_they_say(opened):
    page = opened("operator")
    buttons = page.find_elements(By.CSS_SELECTOR, ".cl-examples button")
    names = ["Sink", "Saddle", "Spiral in", "Centre", "Shear (defective)", "Saddle"]
    for button, name in zip(buttons, names, strict=True):
        button.click()
        now = state(page)
        A = np.reshape(now.A, (2, 2))
        assert now.name == name, button.text
        assert np.reshape(now.E, (2, 2)) == pytest.approx(expm(A * now.t), abs=1e-9)
        path = np.array([expm(A * t) @ now.z0 for t in np.linspace(0, now.t, 100)])
        turned = np.unwrap(np.arctan2(path[:, 1], path[:, 0]))
        assert now.turned == pytest.approx(turned[-1] - turned[0], abs=1e-6)
        assert f"{abs(np.degrees(now.turned)):.0f}°" in page.find_element(By.CSS_SELECTOR, ".cl-readout").text
    slide(page, "time t", 5)
    assert 150 < abs(np.degrees(state(page).turned)) < 180, "the longest turn"


def drag(browser, element, dx: float, dy: float) -> None:
    """Drag the dot of a handle by some pixels."""
    dot = element.find_element(By.CSS_SELECTOR, ".cl-dot")
    ActionChains(browser, duration=20).move_to_element(dot).click_and_hold().move_by_offset(dx, dy).release().perform()


def touch(browser, element, dx: float, dy: float) -> None:
    """The same with a finger."""
    box = element.find_element(By.CSS_SELECTOR, ".cl-dot").rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    y -= browser.execute_script("return window.scrollY")
    for kind, points in [
        ("touchStart", [{"x": x, "y": y}]),
        ("touchMove", [{"x": x + dx / 2, "y": y + dy / 2}]),
        ("touchMove", [{"x": x + dx, "y": y + dy}]),
        ("touchEnd", []),
    ]:
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.mark.browser
@pytest.mark.parametrize("move", [drag, touch])
def test_mouse_and_finger_move_every_kind_of_handle(opened, move):
    page = opened("operator")
    sizes = page.execute_script("return [...document.querySelectorAll('svg')].map(e => e.getScreenCTM().a)")
    flow, plane = sizes[0] * 440 / 4.4, sizes[1] * 330 / 4.8  # pixels for one unit of the data
    move(page, handle(page, "Start cell"), 60, 40)
    assert state(page).z0 == pytest.approx([-1.3 + 60 / flow, 1.5 - 40 / flow], abs=1e-3)
    move(page, handle(page, "Eigenvalue 2"), -30, 15)
    assert state(page).values == pytest.approx([-0.25, -1.4 - 30 / plane], abs=1e-3)
    move(page, handle(page, "Direction v₁"), -20, -60)
    x, y = 1.75 * np.cos(np.radians(20)) - 20 / flow, 1.75 * np.sin(np.radians(20)) + 60 / flow
    assert np.degrees(state(page).angles[0]) == pytest.approx(np.degrees(np.arctan2(y, x)), abs=0.1)
    now = state(page)
    assert np.reshape(now.A, (2, 2)) == pytest.approx(operator("real", now.values, np.degrees(now.angles)))
    # Onto the other eigenvalue and off the axis: a complex pair.
    move(page, handle(page, "Eigenvalue 2"), round((now.values[0] - now.values[1]) * plane), -50)
    now = state(page)
    assert (now.kind, now.values) == ("complex", pytest.approx([-0.25, 50 / plane], abs=0.01))
    assert np.reshape(now.A, (2, 2)) == pytest.approx(operator("complex", now.values, np.degrees(now.angles)))
    move(page, handle(page, "Eigenvalue 2"), 0, 50)
    assert (state(page).kind, np.ptp(state(page).values)) == ("real", 0)


@pytest.mark.browser
def test_a_finger_on_a_handle_does_not_scroll_the_page(opened):
    page = opened("operator")
    resize(page, 360, 600)
    cell = handle(page, "Start cell")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    scrolled = page.execute_script("return window.scrollY")
    before = state(page).z0
    touch(page, cell, 0, 60)
    assert state(page).z0[1] < before[1]
    assert page.execute_script("return window.scrollY") == scrolled


@pytest.mark.browser
def test_play_moves_the_time_and_is_not_offered_where_motion_is_unwanted(opened):
    page = opened("operator")
    button = page.find_element(By.CSS_SELECTOR, ".cl-play")
    begun = state(page).t
    button.click()
    WebDriverWait(page, 10).until(lambda _: state(page).t > begun + 0.05)
    button.click()
    assert button.text == "Play"
    prefer(page, motion="reduce")
    assert not button.is_displayed()


# ---- the blend


def blended(z, now) -> np.ndarray:
    """The operator at z: the anchors' operators, weighted by a Gaussian of the distance."""
    places = np.array([anchor["at"] for anchor in now.anchors[: now.count]])
    raw = np.exp(-np.sum((np.asarray(z) - places) ** 2, axis=1) / (2 * now.width**2))
    return np.tensordot(raw / raw.sum(), np.reshape(now.operators, (-1, 2, 2)), axes=1)


def end_of_steps(now, n: int) -> np.ndarray:
    z = np.array(now.z0)
    for _ in range(n):
        z = expm(blended(z, now) * now.horizon / n) @ z
    return z


@pytest.mark.browser
@pytest.mark.parametrize("count", [2, 3])
def test_steps_end_where_python_ends(opened, count):
    page = opened("blend")
    choose(page, str(count))
    for n, width in [(1, 0.8), (7, 2.0), (64, 0.3)]:
        slide(page, "blend width", width)
        slide(page, "steps", n)
        now = state(page)
        assert (now.n, now.count, now.width) == (n, count, width)
        assert now.end == pytest.approx(end_of_steps(now, n), abs=1e-6)
        assert now.endOne == pytest.approx(end_of_steps(now, 1), abs=1e-6)
        true = solve_ivp(lambda _, z, now=now: blended(z, now) @ z, (0, now.horizon), now.z0, rtol=1e-9, atol=1e-11)
        assert now.endFine == pytest.approx(true.y[:, -1], abs=1e-6)
        off = [np.hypot(*np.subtract(end, now.endFine)) for end in (now.endOne, now.end)]
        rows = [("1 step", now.endOne, off[0]), (f"{n} steps", now.end, off[1])][: 1 if n == 1 else 2]
        shown = [row.text for row in page.find_elements(By.CSS_SELECTOR, ".cl-ends tbody tr") if row.is_displayed()]
        assert shown == [f"{name} {point(end)} {far:.3f}" for name, end, far in rows] + [
            f"true path {point(now.endFine)}"
        ]


@pytest.mark.browser
def test_every_behaviour_can_be_chosen_and_is_what_its_name_says(opened):
    page = opened("blend")
    menu = page.find_element(By.TAG_NAME, "select")
    real = {"sink": (-1, -1), "source": (1, 1), "saddle": (-1, 1), "shear": (0, 0)}
    for option in menu.find_elements(By.TAG_NAME, "option"):
        option.click()
        now = state(page)
        A = np.reshape(now.operators[0], (2, 2))
        values = np.linalg.eigvals(A)
        if option.text in real:
            assert tuple(np.sign(sorted(values.real))) == real[option.text]
            assert values.imag == pytest.approx([0, 0])
        else:
            left = A[1, 0] > 0
            growth = {"turn left": 0, "turn right": 0, "spiral in": -1, "spiral out": 1}[option.text]
            assert np.sign(values[0].real) == growth
            assert left == (option.text != "turn right")
        assert now.end == pytest.approx(end_of_steps(now, now.n), abs=1e-6)
        assert menu.get_attribute("value") in handle(page, "Anchor 1").get_attribute("aria-valuetext")


@pytest.mark.browser
@pytest.mark.parametrize("move", [drag, touch])
def test_anchors_and_cell_move_by_keys_mouse_and_finger(opened, move):
    page = opened("blend")
    unit = page.execute_script("return document.querySelector('svg').getScreenCTM().a") * 100
    for label, read in [
        ("Anchor 2", lambda now: now.anchors[1]["at"]),
        ("Start cell", lambda now: now.z0),
    ]:
        before = np.array(read(state(page)))
        press(page, label, Keys.ARROW_RIGHT, Keys.ARROW_UP, Keys.ARROW_UP)
        press_with_shift(page, label, Keys.ARROW_DOWN)
        assert read(state(page)) == pytest.approx(before + np.array([0.1, -0.3]))
        move(page, handle(page, label), 50, -30)
        assert read(state(page)) == pytest.approx(before + np.array([0.1 + 50 / unit, -0.3 + 30 / unit]), abs=1e-3)
    now = state(page)
    assert now.end == pytest.approx(end_of_steps(now, now.n), abs=1e-6)


# ---- both pages


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
def test_page_needs_nothing_from_elsewhere(opened, name):
    asked, failed = traffic(opened(name))
    assert {Path(url).name for url in asked if url.startswith("file:")} == {f"{name}.html", "live.css", "live.js"}
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert failed == []


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
def test_page_fits_a_phone_with_readable_labels(opened, name):
    page = opened(name)
    resize(page, 360, 800)
    assert page.execute_script("return document.scrollingElement.scrollWidth") <= 360
    outside = page.execute_script(
        "return [...document.querySelectorAll('article *')].filter(e => !e.closest('svg') && !e.closest('.cl-unseen'))"
        ".filter(e => e.getBoundingClientRect().right > 345).map(e => e.outerHTML.slice(0, 99))"
    )
    assert outside == []
    sizes = page.execute_script(
        "return [...document.querySelectorAll('.cl-label, .cl-tick')].filter(e => e.textContent)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize) * e.ownerSVGElement.getScreenCTM().a)"
    )
    assert min(sizes) >= 11
    targets = page.execute_script(
        "return [...document.querySelectorAll('.cl-hit')].map(e => e.getBoundingClientRect().width).filter(w => w)"
    )
    assert min(targets) >= 32


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
def test_dark_and_light_follow_the_reader(opened, name):
    page = opened(name)
    seen = {}
    for theme in ("light", "dark"):
        prefer(page, theme)
        WebDriverWait(page, 3).until(
            lambda _, theme=theme: page.execute_script("return document.documentElement.dataset.theme") == theme
        )
        seen[theme] = page.execute_script(
            "const style = s => getComputedStyle(document.querySelector(s));"
            "return [style('body').backgroundColor, style('[data-live]').backgroundColor, style('h1').color,"
            " style('.cl-ground').fill, style('.cl-handle.cl-one').color]"
        )
    assert all(a != b for a, b in zip(seen["light"], seen["dark"], strict=True))

    def brightness(colour):
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3]))

    assert brightness(seen["dark"][0]) < 150 < 600 < brightness(seen["light"][0])


@pytest.mark.browser
@pytest.mark.parametrize("name", FIGURES)
def test_everything_can_be_reached_by_tab_and_has_a_name(opened, name):
    page = opened(name)
    figure = page.find_element(By.CSS_SELECTOR, "[data-live]")
    controls = figure.find_elements(By.CSS_SELECTOR, "button, input, select, .cl-handle")
    for control in controls:
        assert control.accessible_name or not control.is_displayed()
    for mark in figure.find_elements(By.CSS_SELECTOR, ".cl-handle"):
        if mark.is_displayed():
            assert mark.aria_role == "slider"
            assert re.search(r"\d", mark.get_attribute("aria-valuetext"))
    reached = set()
    for _ in range(30):
        ActionChains(page).send_keys(Keys.TAB).perform()
        reached.add(page.execute_script("return document.activeElement.getAttribute('aria-label')"))
    marks = {
        m.get_attribute("aria-label") for m in figure.find_elements(By.CSS_SELECTOR, ".cl-handle") if m.is_displayed()
    }
    assert marks <= reached
    press(page, "Start cell", Keys.ARROW_UP)
    ring = handle(page, "Start cell").find_element(By.CSS_SELECTOR, ".cl-ring")
    assert ring.value_of_css_property("visibility") == "visible"
    aloud = figure.find_element(By.CSS_SELECTOR, "[aria-live=polite]")
    WebDriverWait(page, 5).until(lambda _: point(state(page).z0) in aloud.get_attribute("textContent"))


# ---- the directive, in the book and in the student notebook


def built(folder: Path, text: str) -> tuple[str, str]:
    """The body of a small book with these words in a chapter, and its warnings."""
    from io import StringIO

    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    (folder / "chapters").mkdir()
    (folder / "index.rst").write_text(".. toctree::\n\n   chapters/a\n")
    (folder / "chapters/a.md").write_text(text)
    warnings = StringIO()
    with docutils_namespace():
        app = Sphinx(
            folder, None, folder / "out", folder / "trees", "html", status=None, warning=warnings,
            confoverrides={"extensions": ["myst_parser", "live"], "html_theme": "basic"},
        )  # fmt: skip
        app.build()
    return (folder / "out/chapters/a.html").read_text("utf-8"), warnings.getvalue()


@pytest.fixture
def directive(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    spec = importlib.util.find_spec("live")
    assert Path(spec.origin) == ROOT / "book/_ext/live.py"


@pytest.mark.usefixtures("directive")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
def test_directive_loads_the_script_once_from_the_root_of_the_site(tmp_path):
    page, warnings = built(tmp_path, "# A\n\n```{live} operator\nA *first* one.\n```\n\n```{live} blend\nB.\n```\n")
    assert warnings == ""
    assert page.count('<script src="../live/live.js" defer></script>') == 1
    assert page.count('href="../live/live.css"') == 1
    assert re.findall(r'data-live="(\w+)"', page) == FIGURES
    described = re.findall(r'aria-describedby="([\w-]+)"', page)
    assert len(set(described)) == 2
    assert all(f'<figcaption id="{name}">' in page for name in described)
    assert "<em>first</em>" in page
    assert page.count("<noscript>") == 2
    assert page.count("<figure") == page.count("</figcaption></figure>") == 2


@pytest.mark.usefixtures("directive")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```{live} opperator\nA.\n```", "no live figure 'opperator'; expected one of operator, blend"),
        ("```{live} blend\n```", "has no caption"),
    ],
)
def test_directive_says_what_is_wrong(tmp_path, text, message):
    assert message in built(tmp_path, f"# A\n\n{text}\n")[1]


@pytest.mark.parametrize("name", FIGURES)
def test_student_notebook_gets_a_link_and_the_caption(name):
    book = markdown.Book(ROOT, "https://github.com/lab/course", "1.0", {}, {}, {})
    (cell,) = markdown.Reader(f"```{{live}} {name}\nMove the {{term}}`operator`.\n```", "chapters/a", book).cells
    link = f"https://lab.github.io/course/live/{name}.html"
    assert cell[:2] == (
        "markdown",
        f"This is a [live figure in the book]({link}): open it and drag its handles.\n\nMove the operator.",
    )
    assert (LIVE / f"{name}.html").is_file()


def test_the_book_copies_the_figures_and_knows_the_directive():
    import yaml

    sphinx = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]
    assert "extra" in sphinx["config"]["html_extra_path"]
    assert sphinx["local_extensions"]["live"] == "book/_ext/"
    assert {path.name for path in LIVE.iterdir()} == {"blend.html", "live.css", "live.js", "operator.html"}
