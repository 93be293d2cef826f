"""Sphinx extension: `{live}` puts a live figure of book/extra/live/ on a page.

    ```{live} operator
    One or two sentences that say what the figure shows.
    ```

The sentences are the caption, the description for screen readers and what stands there without JavaScript.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FIGURES = {"operator": "One linear operator, in your hands", "blend": "Local operators, blended"}
LOADED = "live figures on this page"


class Live(SphinxDirective):
    """A live figure with its caption. Style sheet and script stand before the first figure of a page only."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the markup around the caption."""
        name = self.arguments[0]
        if name not in FIGURES:
            raise self.error(f"There is no live figure {name!r}; expected one of {', '.join(FIGURES)}.")
        if not self.content:
            raise self.error(f"The live figure {name} has no caption; say in one or two sentences what it shows.")
        number = self.env.temp_data[LOADED] = self.env.temp_data.get(LOADED, 0) + 1
        top = "../" * self.env.docname.count("/")
        load = f'<link rel="stylesheet" href="{top}live/live.css"><script src="{top}live/live.js" defer></script>'
        begin = (
            f'{load if number == 1 else ""}<figure class="cl-figure" role="group" aria-label="{FIGURES[name]}" '
            f'aria-describedby="live-{number}"><div data-live="{name}">'
            "<noscript>This figure is drawn by JavaScript, which is switched off here.</noscript></div>"
            f'<figcaption id="live-{number}">'
        )
        caption = nodes.container()
        self.state.nested_parse(self.content, self.content_offset, caption)
        raw = [nodes.raw("", text, format="html") for text in (begin, "</figcaption></figure>")]
        return [raw[0], *caption.children, raw[1]]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("live", Live)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
