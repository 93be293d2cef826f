"""What a chapter shows beyond plain output, in a notebook and on the static page: sliders and numbers."""

import base64
import hashlib
import io
import os
from collections.abc import Callable, Sequence
from html import escape
from numbers import Real
from typing import Any

MAX_BYTES = 600_000
"""Largest size of the frames of one figure on the page, in bytes of HTML."""

# The controls stay hidden until the script runs: without JavaScript the first frame is a plain picture.
_PAGE = """\
<div class="ce-explore" id="{id}" role="group" aria-label="{label}: interactive figure">
<div class="ce-controls" hidden>
<label for="{id}-in">{label}</label>
<input type="range" id="{id}-in" min="0" max="{last}" step="1" value="0" aria-valuetext="{first}">
<output for="{id}-in" aria-live="polite">{first}</output>
</div>
{frames}
<script>
(() => {{
  const box = document.getElementById("{id}");
  const input = box.querySelector("input");
  const frames = box.querySelectorAll("img");
  const show = () => {{
    const now = Number(input.value);
    frames.forEach((frame, i) => {{ frame.hidden = i !== now; }});
    box.querySelector("output").textContent = frames[now].dataset.value;
    input.setAttribute("aria-valuetext", frames[now].dataset.value);
  }};
  box.querySelector(".ce-controls").hidden = false;
  input.addEventListener("input", show);
  show();  // a browser may keep the slider's position over a reload
}})();
</script>
</div>"""


def explore(draw: Callable[[Any], Any], *, alt: str | Callable[[Any], str], **sliders: Sequence[Any]) -> None:
    """Show a figure with a slider.

    With a live kernel the figure is drawn when its value is chosen. While the book builds
    (``CELLMNN_EDU_BOOK=1``) every frame is drawn once, and a few lines of JavaScript switch between them.

    Parameters
    ----------
    draw : callable
        ``draw(value)`` draws the figure for one value of the slider and returns it (a matplotlib Figure or
        Axes). Give every frame the same size and axis limits, or the picture jumps.
    alt : str or callable
        What the figure shows, for readers who cannot see it; a callable gets the value.
    **sliders : sequence
        Exactly one: its name is the label, its values are the positions (about 20 at most).

    Raises
    ------
    ValueError
        If there is not exactly one slider, it has no values, ``alt`` is empty, ``draw`` returns no figure, or
        the frames are too large for a page.

    Examples
    --------
    >>> explore(draw_cells_at, alt="Cells on two components", time=[1.0, 1.5, 2.0])  # doctest: +SKIP
    """
    if len(sliders) != 1:
        names = ", ".join(sliders) or "none"
        raise ValueError(f"explore() takes exactly one slider, got {names}; e.g. time=[1.0, 1.5, 2.0].")
    name, values = next(iter(sliders.items()))
    values, label = list(values), name.replace("_", " ")
    if not values:
        raise ValueError(f"The slider {name!r} has no values; give a list, e.g. {name}=[1.0, 1.5, 2.0].")
    texts = [f"{value:g}" if isinstance(value, Real) else str(value) for value in values]
    if len(set(texts)) < len(texts):
        raise ValueError(f"The slider {name!r} has two values that read the same: {texts}; drop one.")

    def describe(index: int) -> str:
        text = alt(values[index]) if callable(alt) else f"{alt} ({label} {texts[index]})"
        if not (alt and isinstance(text, str) and text.strip()):
            raise ValueError("explore() needs alt: one sentence that says what the figure shows.")
        return text

    def picture(index: int, hidden: bool = False) -> str:
        data = base64.b64encode(_png(draw(values[index]))).decode()
        return (
            f'<img src="data:image/png;base64,{data}" alt="{escape(describe(index))}" '
            f'data-value="{escape(texts[index])}"{" hidden" if hidden else ""}>'
        )

    describe(0)  # complain before anything is drawn
    if os.environ.get("CELLMNN_EDU_BOOK") == "1":
        _publish("\n".join(picture(i, hidden=i > 0) for i in range(len(values))), label, texts)
    else:
        _show_live(picture, label, texts)


def glue(name: str, value: float | str) -> None:
    """Store a number or a word for the text of this page, where ``{glue:text}`` with its name shows it.

    Name it after the variable that holds it: the student notebook shows the variable's name in the text.
    Outside the book build (``CELLMNN_EDU_BOOK=1``) it does nothing.

    Parameters
    ----------
    name : str
        Name used in the text; ``name:.2f`` there formats a number.
    value : float or str
        What to show.
    """
    if os.environ.get("CELLMNN_EDU_BOOK") != "1":
        return
    from IPython.display import display

    prefix = "application/papermill.record/"  # the output stays invisible where it is stored
    text = value if isinstance(value, str) else repr(value if isinstance(value, int) else float(value))
    metadata = {"scrapbook": {"name": name, "mime_prefix": prefix}}
    display({f"{prefix}text/plain": text}, raw=True, metadata=metadata)


def _publish(frames: str, label: str, texts: list[str]) -> None:
    from IPython.display import HTML, display

    if len(frames) > MAX_BYTES:
        raise ValueError(
            f"The {len(texts)} frames of the slider {label!r} take {len(frames) / 1000:.0f} kB, more than "
            f"the {MAX_BYTES / 1000:.0f} kB a page can bear; draw fewer values or a smaller figure."
        )
    # The id follows from the content, so that two builds write the same page.
    number = hashlib.sha256(f"{label}{frames}".encode()).hexdigest()[:10]
    values = {"id": f"explore-{number}", "last": len(texts) - 1}
    display(HTML(_PAGE.format(frames=frames, label=escape(label), first=escape(texts[0]), **values)))


def _show_live(picture: Callable[[int], str], label: str, texts: list[str]) -> None:
    import ipywidgets
    from IPython.display import display

    slider = ipywidgets.SelectionSlider(
        options=[(text, i) for i, text in enumerate(texts)],
        description=label,
        style={"description_width": "initial"},
    )
    frame = ipywidgets.HTML(picture(0))
    drawn = {0: frame.value}

    def show(change: dict[str, Any]) -> None:
        index = change["new"]
        if index not in drawn:
            drawn[index] = picture(index)
        frame.value = drawn[index]

    slider.observe(show, names="value")
    display(ipywidgets.VBox([slider, frame]))


def _png(drawn: Any) -> bytes:
    """Small PNG of a figure or of the figure an Axes belongs to; the figure is closed."""
    from matplotlib import pyplot
    from matplotlib.figure import Figure
    from PIL import Image

    figure = drawn if isinstance(drawn, Figure) else getattr(drawn, "figure", None)
    if not isinstance(figure, Figure):
        raise ValueError(
            f"draw() returned {type(drawn).__name__}; it must return the matplotlib Figure or Axes it drew."
        )
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=110, facecolor="white")
    pyplot.close(figure)
    # 256 colours are plenty for a plot and a third of the bytes.
    with Image.open(full) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()
