"""explore(): what the static page shows, what a live notebook shows, and what it refuses."""

import base64
import io
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from cellmnn_edu import widgets

mpl.use("Agg")


def line(value):
    """A figure whose picture depends on the value."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(3, 2))
    axes.plot([0, 1], [0, value])
    axes.set(ylim=(0, 3))
    return figure


class Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def get(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def shown(monkeypatch):
    """Everything that is displayed."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda *args, **options: found.append((*args, options)))
    return found


def page(shown, monkeypatch, *args, **options) -> str:
    monkeypatch.setenv("CELLMNN_EDU_BOOK", "1")
    widgets.explore(*args, **options)
    return shown[-1][0].data


def test_page_has_one_frame_for_each_value_and_shows_the_first(shown, monkeypatch):
    html = page(shown, monkeypatch, line, alt="A line", time=[1.0, 1.5, np.float64(2.0)])
    frames = Tags(html).get("img")
    assert [frame["data-value"] for frame in frames] == ["1", "1.5", "2"]
    assert ["hidden" in frame for frame in frames] == [False, True, True]
    assert [frame["alt"] for frame in frames] == [f"A line (time {t})" for t in ("1", "1.5", "2")]
    pictures = []
    for frame in frames:
        with Image.open(io.BytesIO(base64.b64decode(frame["src"].split(",")[1]))) as picture:
            assert picture.size == (330, 220)
            pictures.append(np.asarray(picture.convert("L"), float))
            assert pictures[-1][0, 0] == 255, "figures stand on white, also on a dark page"
    assert np.abs(pictures[0] - pictures[2]).max() > 50, "the frames show different values"


def test_controls_are_labelled_and_hidden_until_the_script_runs(shown, monkeypatch):
    html = page(shown, monkeypatch, line, alt="A line", held_out=[1, 2])
    tags = Tags(html)
    (slider,), (label,), (output,) = tags.get("input"), tags.get("label"), tags.get("output")
    assert slider["type"] == "range"
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "1", "0")
    assert label["for"] == output["for"] == slider["id"]
    assert output["aria-live"] == "polite"
    assert ">held out</label>" in html
    (controls,) = [tag for tag in tags.get("div") if tag.get("class") == "ce-controls"]
    assert "hidden" in controls
    assert "http" not in html.replace("http-equiv", "")


def test_same_content_same_html_other_content_other_id(shown, monkeypatch):
    first = page(shown, monkeypatch, line, alt="A line", time=[1.0, 2.0])
    assert page(shown, monkeypatch, line, alt="A line", time=[1.0, 2.0]) == first
    other = page(shown, monkeypatch, line, alt="A line", time=[1.0, 2.5])
    assert Tags(first).get("input")[0]["id"] != Tags(other).get("input")[0]["id"]


def test_markup_in_texts_is_escaped_and_alt_may_be_a_function(shown, monkeypatch):
    html = page(shown, monkeypatch, line, alt=lambda t: f'"{t}" < 3 & up', time=[1, 2])
    assert [frame["alt"] for frame in Tags(html).get("img")] == ['"1" < 3 & up', '"2" < 3 & up']
    assert "< 3" not in html


def test_axes_are_accepted_and_figures_are_closed(shown, monkeypatch):
    from matplotlib import pyplot

    page(shown, monkeypatch, lambda t: line(t).axes[0], alt="A line", time=[1, 2])
    page(shown, monkeypatch, lambda t: Figure(figsize=(2, 2)), alt="Nothing", time=[1])
    assert pyplot.get_fignums() == []


def test_live_slider_draws_on_demand_and_once(shown, monkeypatch):
    monkeypatch.delenv("CELLMNN_EDU_BOOK", raising=False)
    drawn = []
    widgets.explore(lambda t: drawn.append(t) or line(t), alt="A line", time=[1.0, 2.0, 3.0])
    slider, frame = shown[-1][0].children
    assert drawn == [1.0]
    before = frame.value
    slider.value = 2
    assert drawn == [1.0, 3.0]
    assert frame.value != before
    assert 'alt="A line (time 3)"' in frame.value
    slider.value = 0
    assert drawn == [1.0, 3.0]
    assert frame.value == before


@pytest.mark.parametrize("book", ["0", "1"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alt": "A"}, "exactly one slider, got none"),
        ({"alt": "A", "time": [1], "gene": [2]}, "exactly one slider, got time, gene"),
        ({"alt": "A", "time": []}, "no values; give a list"),
        ({"alt": "", "time": [1]}, "needs alt"),
        ({"alt": lambda t: " ", "time": [1]}, "needs alt"),
        ({"alt": None, "time": [1]}, "needs alt"),
        ({"alt": "A", "time": [1.0, 1.0000000001]}, "read the same"),
    ],
)
def test_bad_input_is_refused_before_anything_is_shown(shown, monkeypatch, book, options, message):
    monkeypatch.setenv("CELLMNN_EDU_BOOK", book)
    with pytest.raises(ValueError, match=message):
        widgets.explore(lambda t: pytest.fail("drawn"), **options)
    assert shown == []


@pytest.mark.parametrize("book", ["0", "1"])
def test_draw_must_return_a_figure(shown, monkeypatch, book):
    monkeypatch.setenv("CELLMNN_EDU_BOOK", book)
    with pytest.raises(ValueError, match="returned NoneType; it must return the matplotlib Figure or Axes"):
        widgets.explore(lambda t: None, alt="A", time=[1])


def test_a_heavy_widget_is_refused(shown, monkeypatch):
    def noise(seed):
        figure = line(1)
        figure.figimage(np.random.default_rng(seed).random((220, 330, 3)))
        return figure

    with pytest.raises(ValueError, match=r"The 12 frames of the slider 'seed' take \d+ kB, more than the 600 kB"):
        page(shown, monkeypatch, noise, alt="Noise", seed=range(12))
    assert shown == []


def test_glue_stores_plain_numbers_and_only_in_the_book(shown, monkeypatch):
    monkeypatch.setenv("CELLMNN_EDU_BOOK", "1")
    for value, text in [(np.float32(0.5), "0.5"), (3, "3"), ("word", "word")]:
        widgets.glue("score", value)
        bundle, options = shown.pop()
        assert bundle == {"application/papermill.record/text/plain": text}
        assert options["metadata"]["scrapbook"]["name"] == "score"
    monkeypatch.delenv("CELLMNN_EDU_BOOK")
    widgets.glue("score", 1.0)
    assert shown == []


def test_importing_the_module_loads_no_drawing_library():
    code = "import sys, cellmnn_edu.widgets; print({'matplotlib', 'ipywidgets', 'IPython'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
