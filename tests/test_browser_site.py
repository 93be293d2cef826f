"""The built site in a real browser, from disk, without a network: what a reader sees on every page."""

import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import pytest
from browser import HOW_TO_GET, chromium, find, resize, traffic
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from cellmnn_edu.coursework import address, release
from cellmnn_edu.coursework.markdown import without_solutions

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build/html"
PAGES = sorted(name for path in SITE.rglob("*.html") if (name := path.relative_to(SITE).as_posix())[0] != "_")
CHAPTERS = sorted(path.stem for path in (ROOT / "book/chapters").glob("*.md"))

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    required = os.environ.get("CELLMNN_EDU_REQUIRE_BROWSER") == "1"
    if find() is None:
        (pytest.fail if required else pytest.skip)(HOW_TO_GET)
    if not PAGES:
        (pytest.fail if required else pytest.skip)("The site is not built: run `make book` (`make test` does it).")
    with chromium() as driver:
        yield driver


def prefer(browser, theme: str) -> None:
    """Ask for light or dark, as the system settings of a reader do."""
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})


def open_page(browser, page: str) -> None:
    """Open a page as it looks once its formulas are set."""
    resize(browser, 1400)
    prefer(browser, "light")
    browser.get("about:blank")
    traffic(browser)
    browser.get_log("browser")
    browser.get((SITE / page).as_uri())
    browser.execute_async_script(
        "const done = arguments[0], math = window.MathJax;"
        "(math && math.startup ? math.startup.promise : Promise.resolve()).then(() => done());"
    )


def test_every_page_of_the_sources_was_built():
    assert {"index.html", "search.html", "genindex.html", "reference/api.html"} <= set(PAGES)
    assert {f"{page}.html" for page in release.masters(ROOT)} <= set(PAGES)


@pytest.fixture(scope="module", params=PAGES)
def opened(browser, request):
    """A page, opened once for all that is asked of every page: requests, failed ones, messages of the browser."""
    open_page(browser, request.param)
    asked, failed = traffic(browser)
    return request.param, asked, failed, browser.get_log("browser")


def test_page_loads_nothing_from_elsewhere_and_reports_no_error(opened):
    _, asked, failed, log = opened
    assert asked, "no request was recorded: the test has lost sight of them"
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert failed == []
    assert [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")] == []


def test_formulas_are_set_and_no_raw_markup_is_visible(browser, opened):
    count = "return document.querySelectorAll(arguments[0]).length"
    assert browser.execute_script(count, "article mjx-container") >= browser.execute_script(count, "article .math")
    assert browser.find_elements(By.CSS_SELECTOR, "mjx-merror, [data-mjx-error]") == []
    # Code may show such signs, and what is folded away counts too: so the text without pre and code.
    text = browser.execute_script(
        "const copy = document.querySelector('article, main').cloneNode(true);"
        "copy.querySelectorAll('pre, code, script, style, mjx-container').forEach(node => node.remove());"
        "return copy.textContent;"
    )
    for raw in (r"\$\$", r"\\[(\[]", r"\{[a-z:-]+\}`", r":::", r"```", r"\{\{", r"\)=\s*$", r"\[\^"):
        found = re.search(f".*{raw}.*", text, re.M)
        assert not found, f"raw markup on {opened[0]}: {found[0].strip()}"


def test_every_picture_has_a_text_and_has_loaded(browser, opened):
    pictures = browser.execute_script(
        "return [...document.querySelectorAll('img')].map("
        "  img => [img.getAttribute('alt') ?? '', img.naturalWidth, img.src.slice(0, 99)])"
    )
    assert pictures, "not even the logo"
    for alt, width, source in pictures:
        assert alt.strip(), f"no alt text: {source}"
        assert not re.search(r"\.png$|^_?images/|[0-9a-f]{16}", alt), f"a file name is no alt text: {alt}"
        assert width > 0, f"not loaded: {source}"


def test_page_fits_wide_and_narrow_windows_and_can_be_read_light_and_dark(browser, opened):
    assert colours(browser, ["article h1"]) or opened[0] == "search.html", "no title that is shown"
    for width in (1400, 360):
        resize(browser, width)
        for theme in ("light", "dark"):
            prefer(browser, theme)
            fits_and_reads(browser, width, theme)


def fits_and_reads(browser, width: int, theme: str) -> None:
    """The open page does not scroll sideways, and its text stands out."""
    switched = f"return document.documentElement.dataset.theme === '{theme}' && window.innerWidth === {width}"
    WebDriverWait(browser, 3, 0.05).until(lambda _: browser.execute_script(switched), f"never {theme} at {width} px")
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
    wide = browser.execute_script(
        """const scrolls = e => e && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
        const wide = 'article img, article table, article .ce-explore, article input';
        return [...document.querySelectorAll(wide)]
          .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
          .filter(e => !scrolls(e.parentElement)).map(e => e.outerHTML.slice(0, 99))"""
    )
    assert wide == []
    kinds = [
        "article h1",
        "article p",
        "article a.reference",
        "article div.exercise a",
        "article dt.sig",
        "article pre",
    ]
    read = colours(browser, kinds)
    for selector, text, behind in read:
        assert contrast(text, behind) >= 4.5, f"{selector} in {theme}"


def colours(browser, selectors: list[str]) -> list[tuple[str, list[float], list[float]]]:
    """Colour of the text and of what lies behind it, of the first three elements of each kind that are shown."""
    return browser.execute_script(
        """const parse = c => c.match(/[\\d.]+/g).map(Number);
        const behind = e => {
          const layers = [];
          for (; e; e = e.parentElement) {
            const [r, g, b, alpha = 1] = parse(getComputedStyle(e).backgroundColor);
            layers.unshift([r, g, b, alpha]);
            if (alpha === 1) break;
          }
          return layers.reduce((under, [r, g, b, a]) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]),
            [255, 255, 255]);
        };
        return arguments[0].flatMap(selector => [...document.querySelectorAll(selector)].slice(0, 3)
          .filter(e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().height > 0)
          .map(e => [selector, parse(getComputedStyle(e).color), behind(e)]))""",
        selectors,
    )


def contrast(*colours: list[float]) -> float:
    """WCAG contrast of two colours."""

    def luminance(colour):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (x / 255 for x in colour[:3])]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted(map(luminance, colours))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", CHAPTERS)
def test_sliders_move_the_picture_by_keyboard(browser, name):
    open_page(browser, f"chapters/{name}.html")
    sliders = browser.find_elements(By.CSS_SELECTOR, ".ce-explore")
    markup = (SITE / f"chapters/{name}.html").read_text("utf-8")
    assert len(sliders) == markup.count('class="ce-explore"')
    assert len({box.get_attribute("id") for box in sliders}) == len(sliders), "each has its own id"

    def state(box):
        shown = [image for image in box.find_elements(By.TAG_NAME, "img") if image.is_displayed()]
        assert len(shown) == 1
        value = box.find_element(By.TAG_NAME, "output").text
        return shown[0].get_attribute("src"), shown[0].get_attribute("alt"), value

    for box in sliders:
        control = box.find_element(By.TAG_NAME, "input")
        assert control.accessible_name
        frames = len(box.find_elements(By.TAG_NAME, "img"))
        seen = [state(box)]
        for _ in range(frames - 1):
            control.send_keys(Keys.ARROW_RIGHT)
            seen.append(state(box))
        for what in zip(*seen, strict=True):
            assert len(set(what)) == frames, "picture, text and value all change with every step"
        assert control.get_attribute("aria-valuetext") == seen[-1][2]
        control.send_keys(Keys.HOME)
        assert state(box) == seen[0]


@pytest.mark.parametrize("name", CHAPTERS)
def test_without_javascript_the_first_frame_is_shown(browser, name):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get((SITE / f"chapters/{name}.html").as_uri())
        for box in browser.find_elements(By.CSS_SELECTOR, ".ce-explore"):
            assert not box.find_element(By.CSS_SELECTOR, ".ce-controls").is_displayed()
            shown = [image.is_displayed() for image in box.find_elements(By.TAG_NAME, "img")]
            assert shown == [True] + [False] * (len(shown) - 1)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


BUTTON = ":scope > .admonition-title .toggle-button, :scope > .toggle-button"


@pytest.mark.parametrize("name", CHAPTERS)
def test_folded_hints_and_solutions_open(browser, name):
    """The first hint and the first solution by mouse, all the others by script: mouse and animation take seconds."""
    open_page(browser, f"chapters/{name}.html")
    folded = browser.find_elements(By.CSS_SELECTOR, ".dropdown.admonition, .dropdown.solution")
    folded = [box for box in folded if box.is_displayed()]
    bodies = [box.find_element(By.CSS_SELECTOR, ":scope > :not(.admonition-title)") for box in folded]
    assert folded, "a chapter has hints and solutions"
    assert not any(body.is_displayed() for body in bodies), "they start folded"
    kinds = ["solution" in box.get_attribute("class") for box in folded]
    by_mouse = {kinds.index(kind) for kind in set(kinds)}
    for i, box in enumerate(folded):
        button = box.find_element(By.CSS_SELECTOR, BUTTON)
        if i in by_mouse:
            browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
            button.click()
        else:
            browser.execute_script("arguments[0].click()", button)
    for body in bodies:
        WebDriverWait(browser, 3).until(lambda _, body=body: body.is_displayed(), "a click opens it")


@pytest.mark.parametrize("page", release.masters(ROOT))
def test_buttons_lead_to_files_of_the_project(browser, page):
    open_page(browser, f"{page}.html")
    links = [link.get_attribute("href") or "" for link in browser.find_elements(By.CSS_SELECTOR, "a")]
    (colab,) = {link for link in links if "colab.research" in link}
    notebook = f"book/notebooks/{release.stem(page)}.ipynb"
    assert unquote(urlparse(colab).path).split("/blob/main/")[1] == notebook
    assert (ROOT / notebook).is_file()
    assert [link for link in links if link.endswith(f"/edit/main/book/{page}.md")]
    (download,) = {link for link in links if link.endswith(".ipynb") and link.startswith("file:")}
    copy = Path(unquote(urlparse(download).path))
    assert copy.read_bytes() == (ROOT / notebook).read_bytes(), "no solutions in the download"


@pytest.mark.parametrize("page", [page for page in release.masters(ROOT) if release.is_assignment(page)])
def test_no_file_of_the_site_solves_an_assignment(browser, page):
    cut = without_solutions((ROOT / f"book/{page}.md").read_text("utf-8"))
    assert (SITE / f"_sources/{page}.md").read_text("utf-8") == cut
    open_page(browser, f"{page}.html")
    assert browser.find_elements(By.CSS_SELECTOR, ".exercise")
    assert browser.find_elements(By.CSS_SELECTOR, ".solution") == []


def test_every_link_within_the_site_leads_somewhere():
    broken, anchors, links = [], {}, {}
    for page in PAGES:
        text = (SITE / page).read_text("utf-8")
        anchors[(SITE / page).resolve()] = set(re.findall(r'\bid="([^"]+)"', text))
        links[page] = re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', text)
    assert PAGES, "the site is not built: run `make book`"
    assert all(links.values())
    for page in PAGES:
        for link in map(unescape, links[page]):
            parts = urlparse(urljoin((SITE / page).as_uri(), link))
            if parts.scheme == "file":
                file, anchor = Path(unquote(parts.path)).resolve(), unquote(parts.fragment)
                known = anchors.get(file, set())
                if not file.exists() or (anchor and file in anchors and anchor not in known):
                    broken.append(f"{page} -> {link.removeprefix(SITE.as_uri())}")
    assert broken == []


@pytest.mark.parametrize("page", release.masters(ROOT))
def test_links_of_the_notebook_lead_to_the_site(browser, page):
    site = address.site(address.repository(ROOT))
    text = (ROOT / f"book/notebooks/{release.stem(page)}.ipynb").read_text("utf-8")
    links = re.findall(re.escape(site) + r"/([\w./-]+\.html)(?:#([^)\s\"]+))?\)", text)
    assert links
    for target, anchor in links:
        assert (SITE / target).is_file(), target
        assert not anchor or f'id="{anchor}"' in (SITE / target).read_text("utf-8"), f"{target}#{anchor}"
