"""A headless Chromium for the browser tests. Run as a script, it says loudly when there is none."""

import json
import os
import shutil
import sys
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", MAC]
HOW_TO_GET = """\
No Chromium with its driver was found, so the BROWSER TESTS WERE SKIPPED: nobody looked at the built pages.
  Debian           sudo apt-get install chromium chromium-driver
  Ubuntu           sudo apt-get install chromium-browser chromium-chromedriver
  Fedora           sudo dnf install chromium chromedriver
  macOS            brew install --cask google-chrome && brew install chromedriver
Another browser or driver: CHROME_BIN=/path/to/chrome CHROMEDRIVER=/path/to/chromedriver make test"""


def find() -> tuple[str, str] | None:
    """Paths of a browser and of its driver. Selenium's own search would try to download them."""
    browsers = [os.environ.get("CHROME_BIN"), *NAMES]
    browser = next((found for name in browsers if name and (found := shutil.which(name))), None)
    driver = shutil.which(os.environ.get("CHROMEDRIVER") or "chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def chromium(width: int = 1400, height: int = 1000):
    """A browser that cannot reach any host and records every request."""
    binary, driver = find()
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--proxy-server=direct://",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
        ]:
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(executable_path=driver))
        try:
            yield browser
        finally:
            browser.quit()


def resize(browser, width: int, height: int = 900) -> None:
    """Set the size of the page itself (a window cannot be narrower than about 500 px)."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def traffic(browser) -> tuple[list[str], list[str]]:
    """Addresses asked for, and requests that failed, since the last call."""
    asked, failed = {}, []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        about = message["params"]
        if message["method"] == "Network.requestWillBeSent":
            asked[about["requestId"]] = about["request"]["url"]
        elif message["method"] == "Network.loadingFailed" and not about.get("canceled"):
            failed.append(f"{asked.get(about['requestId'], '?')}: {about['errorText']}")
    return list(asked.values()), failed


def main() -> int:
    """Print how to get a browser where there is none."""
    if find() is None:
        print(f"\n{'!' * 100}\n{HOW_TO_GET}\n{'!' * 100}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
