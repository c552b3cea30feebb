"""Measures a page in a real browser, as wide as a telephone and as a desk."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
NEEDS_CHROMIUM: Final = [
    pytest.mark.local,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]
QUIET: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

# Chromium's own window is at least 500 pixels wide, so the page stands in frames. A frame made
# of srcdoc is of the harness's origin: its script may measure what lies in it.
HARNESS: Final = """<!doctype html><body>
FRAMES
<pre id="found"></pre>
<script>
const rectangle = e => e.getBoundingClientRect();
const overlap = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
  && a.top < b.bottom - 2 && b.top < a.bottom - 2;
function clashes(plot) {
  const texts = [...plot.querySelectorAll("text")];
  return texts.flatMap((a, i) => texts.slice(i + 1)
    .filter(b => overlap(rectangle(a), rectangle(b)))
    .map(b => a.textContent + " / " + b.textContent));
}
function measure(frame, unfolded) {
  const page = frame.contentDocument, all = query => [...page.querySelectorAll(query)];
  for (const unfold of all("details")) unfold.open = unfolded;
  const boxes = all("body *").filter(e => !e.closest(".scroll, .skip, thead"));
  const wide = e => rectangle(e).right > Number(frame.width) + 0.5 || rectangle(e).left < -0.5;
  const size = e => parseFloat(frame.contentWindow.getComputedStyle(e).fontSize)
    * e.getScreenCTM().a;
  return {
    width: Number(frame.width), unfolded,
    scrolls: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    wide: boxes.filter(wide).map(e => e.tagName + "." + (e.getAttribute("class") || "")),
    clashes: all("svg.plot").flatMap(clashes),
    smallest: Math.min(...all("svg text").map(size)),
    plots: all("svg.plot").length,
    loaded: frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name),
    height: page.documentElement.scrollHeight,
  };
}
onload = () => {
  const found = [...document.querySelectorAll("iframe")]
    .flatMap(frame => [measure(frame, false), measure(frame, true)]);
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


def measured(page: str, folder: Path, *widths: int) -> list[dict[str, Any]]:
    """Measures the page at each width, folded and unfolded."""
    page = html.escape(page)
    frames = (f'<iframe width="{width}" height="900" srcdoc="{page}"></iframe>' for width in widths)
    harness = folder / "harness.html"
    harness.write_text(HARNESS.replace("FRAMES", "\n".join(frames)))
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    window = ["--window-size=1400,1000", "--virtual-time-budget=4000", harness.as_uri()]
    done = subprocess.run([*command, *window], capture_output=True, text=True, timeout=120)
    result = re.search(r'<pre id="found">(.+?)</pre>', done.stdout, re.DOTALL)
    assert result, done.stderr[-2000:]
    seen: list[dict[str, Any]] = json.loads(html.unescape(result[1]))
    assert len(seen) == 2 * len(widths)
    return seen
