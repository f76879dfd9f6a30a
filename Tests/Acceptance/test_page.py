"""The page in a real browser. TIANKONG_SCREENSHOTS names a folder for pictures of it."""
import os, pathlib, shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def picture(page, name):
    if folder := os.environ.get("TIANKONG_SCREENSHOTS"):
        page.screenshot(path=str(pathlib.Path(folder) / f"{name}.png"), full_page=True)


def opened(browser, service, language="zh-CN", **options):
    context = browser.new_context(locale=language, **options)
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda e: page.wrong.append(str(e)))
    page.on("console", lambda m: m.type in ("error", "warning") and page.wrong.append(m.text))
    page.on("request", lambda r: r.url.startswith((service.url, "data:")) or page.wrong.append("elsewhere: " + r.url))
    page.goto(service.url)
    return page


@pytest.mark.parametrize("language", ["zh-CN", "en-US"])
def test_a_person_types_a_sentence_and_sees_words(browser, service, language):
    page = opened(browser, service, language)
    page.locator("textarea, input[type=text]").first.fill("画龙点[MASK]")
    page.keyboard.press("Control+Enter")
    page.get_by_text("睛").first.wait_for()
    page.locator("#span").select_option("1")
    best = service.unix.fill("画龙点[MASK]").json["blanks"][0]["candidates"][0]
    page.get_by_text(f"{100 * best['score']:.1f}").first.wait_for()
    picture(page, "answer-" + language)
    assert page.inner_text("#sentence") == "画龙点" + best["text"] and not page.wrong


def test_the_length_of_words_is_chosen_and_remembered(browser, service):
    page = opened(browser, service)
    assert page.input_value("#span") == "auto"
    page.locator("#text").fill("他在[MASK]工作。")
    page.locator("#span").select_option("2")
    best = service.unix.fill("他在[MASK]工作。", span=2).json["blanks"][0]["candidates"][0]["text"]
    page.locator("#sentence", has_text=f"他在{best}工作。").wait_for()
    picture(page, "two-characters")
    page.reload()
    assert page.input_value("#span") == "2" and not page.wrong


def test_whole_sentences_come_first_and_one_key_fills_all_blanks(browser, service):
    text = "他在[MASK]工作，因为[MASK]很好。"
    page = opened(browser, service)
    page.locator("#text").fill(text)
    page.keyboard.press("Enter")
    first, second = service.unix.fill(text, span="auto").json["joint"][:2]
    page.locator("#blanks input").first.focus()
    assert page.locator("#blanks input").first.get_attribute("name") == "joint"
    assert page.locator("#sentence .fill").all_inner_texts() == first["fills"]
    page.keyboard.press("ArrowDown")
    picture(page, "whole-sentence")
    assert page.locator("#sentence .fill").all_inner_texts() == second["fills"]
    assert second["text"] in page.inner_text("#announcement") and not page.wrong


def test_a_sentence_without_a_blank_is_explained(browser, service):
    page = opened(browser, service)
    page.locator("textarea, input[type=text]").first.fill("没有空")
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(500)
    picture(page, "no-blank")
    assert "[MASK]" in page.inner_text("body") and not [w for w in page.wrong if "400" not in w]


def test_it_fits_a_telephone_and_the_dark(browser, service):
    page = opened(browser, service, viewport={"width": 360, "height": 740}, color_scheme="dark")
    page.locator("textarea, input[type=text]").first.fill("学而不思则[MASK]，思而不学则[MASK]")
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(800)
    picture(page, "telephone-dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360 and not page.wrong


def test_what_is_typed_is_never_markup(browser, service):
    page = opened(browser, service)
    page.locator("textarea, input[type=text]").first.fill("<img src=x onerror=alert(1)>画龙点[MASK]")
    page.keyboard.press("Control+Enter")
    page.locator("#answer").wait_for()
    picture(page, "markup")
    assert "<img" in page.inner_text("#sentence")
    assert page.locator("img[src=x]").count() == 0 and not page.wrong
