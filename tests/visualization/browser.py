"""A headless Chromium for tests of pages, through playwright."""

import os
import shutil
from contextlib import contextmanager

import pytest

PROGRAMS = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')


def chromium():
    """The browser that is installed, or None; CHROMIUM names another one."""
    named = os.environ.get('CHROMIUM')
    return named or next((found for found in map(shutil.which, PROGRAMS) if found), None)


@contextmanager
def open_page(file, errors, **options):
    """A page of a file in a browser of its own; what its script complains of is appended to `errors`."""
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is missing: pip install playwright')
    program = chromium()
    if program is None:
        pytest.skip('There is no browser: install chromium (apt-get install chromium), or name one by CHROMIUM.')
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=['--no-sandbox', '--disable-gpu'])
        context = browser.new_context(accept_downloads=True, **options)
        page = context.new_page()
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on('console', lambda message: errors.append(message.text) if message.type == 'error' else None)
        page.on('request', lambda request: errors.append(request.url[:80])
                if not request.url.startswith(('file:', 'data:', 'blob:')) else None)
        page.goto(file.as_uri())
        page.wait_for_function('document.body.dataset.ready')
        try:
            yield page
        finally:
            browser.close()
