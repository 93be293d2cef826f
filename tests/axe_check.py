"""Search the built site for barriers with axe-core: `python tests/axe_check.py axe.min.js [part of a page's name ...]`.

Not a test of the suite, since axe-core comes from npm. It prints each broken rule of WCAG 2.1 A and AA with the number
of places and one of them, in the light and in the dark theme, and exits with the number of rules.
"""

import sys
from collections import defaultdict
from pathlib import Path

from browser import HOW_TO_GET, chromium, find

SITE = Path(__file__).parents[1] / "_build/html"
FORMULAS = (
    "const done = arguments[0], math = window.MathJax;"
    "(math && math.startup ? math.startup.promise : Promise.resolve()).then(() => done());"
)
SEARCH = """
const done = arguments[0];
const rules = {runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}};
axe.run(document, rules).then(found => done(found.violations.map(
    rule => ({id: rule.id, help: rule.help, impact: rule.impact, places: rule.nodes.map(node => node.html)}))));
"""


def pages(parts: list[str]) -> list[Path]:
    """Pages of the book, without the listings of source code."""
    found = [path for path in sorted(SITE.rglob("*.html")) if path.relative_to(SITE).parts[0][0] != "_"]
    return [path for path in found if not parts or any(part in path.as_posix() for part in parts)]


def main(axe: Path, parts: list[str]) -> int:
    """Search the pages, print what was found, return the number of rules that are broken."""
    if find() is None or not (chosen := pages(parts)):
        print(HOW_TO_GET if find() is None else f"No page in {SITE}: run `make book` first.")
        return 1
    script, found, words = axe.read_text("utf-8"), defaultdict(list), {}
    with chromium() as browser:
        browser.set_script_timeout(120)
        for theme in ("light", "dark"):
            scheme = [{"name": "prefers-color-scheme", "value": theme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
            for page in chosen:
                print(f"\r{theme} {page.name:60}", end="", file=sys.stderr, flush=True)
                browser.get(page.as_uri())
                browser.execute_async_script(FORMULAS)
                browser.execute_script(script)
                for rule in browser.execute_async_script(SEARCH):
                    words[rule["id"]] = f"{rule['impact']}: {rule['help']}"
                    found[rule["id"]] += [(page.name, place) for place in rule["places"]]
    print(f"\n{len(chosen)} pages in two themes, {len(found)} rules broken")
    for rule, places in found.items():
        on = {name for name, _ in places}
        print(f"\n{rule} ({words[rule]}): {len(places)} places on {len(on)} pages")
        print(f"  {places[0][0]}: {places[0][1][:160]}")
    return len(found)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("Expected the path of axe.min.js: `npm install --prefix _build/axe axe-core` fetches it.")
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
