"""The console in a real browser: each of its actions, as a person would do it."""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import threading
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.support import TIMEOUT, Server, running_server

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there is no Chromium here")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    assert CHROMIUM
    assert DRIVER
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_window_size(1400, 900)
    try:
        yield driver
    finally:
        driver.quit()
        driver.service.stop()


class Console:
    """The console of a server in a browser, with what a person looks for and does."""

    def __init__(self, browser: webdriver.Chrome, server: Server) -> None:
        self.browser = browser
        self.server = server
        browser.get(f"http://127.0.0.1:{server.port}/")

    def ask(self, *commands: Any) -> List[Any]:
        """What another client of the server is told."""
        lines = "".join(json.dumps(each) + "\n" for each in commands)
        return [
            json.loads(line).get("result")
            for line in self.server.ask(lines.encode()).split(b"\n")
            if line
        ]

    def find(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.find(selector).text)

    def until(self, holds: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, TIMEOUT, 0.05, [StaleElementReferenceException]).until(
            lambda _: holds()
        )

    def click(self, selector: str) -> None:
        self.until(lambda: self.find(selector).is_displayed())
        self.find(selector).click()

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def labels(self) -> List[str]:
        found: List[str] = self.browser.execute_script(
            "return [...document.querySelectorAll('#keys .row')].map((row) => row.innerText)"
        )
        return found

    def row(self, label: str) -> Any:
        def found() -> Any:
            rows = self.browser.find_elements(By.CSS_SELECTOR, "#keys .row")
            return next(
                (row for row in rows if row.find_element(By.CSS_SELECTOR, ".label").text == label),
                None,
            )

        return self.until(found)

    def show(self, *labels: str) -> None:
        """Opens groups, and a key at last."""
        for label in labels:
            self.until(partial(self._click_row, label))
        self.until(lambda: self.find("#detail").is_displayed())

    def _click_row(self, label: str) -> bool:
        self.row(label).click()
        return True

    def fill(self, selector: str, text: str) -> None:
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def run(self, line: str) -> None:
        """Runs a command in the command line."""
        self.fill("#command", line)
        self.press(Keys.ENTER)

    def has_printed(self, line: str, expected: str) -> bool:
        return expected in self.text("#output").rpartition(f"kv> {line}")[2]

    def message(self) -> str:
        self.until(lambda: self.find("#toast").is_displayed())
        return self.text("#message")


@pytest.fixture
def console(browser: webdriver.Chrome, server: Server) -> Iterator[Console]:
    server.ask(b'{"type":"FLUSH"}\n')
    items = {
        f"user:{number}": {"name": f"u{number}", "n": 12345678901234567890} for number in range(20)
    }
    server.ask(
        json.dumps({"type": "MSET", "items": {**items, "plain": [1, "two", None]}}).encode() + b"\n"
    )
    console = Console(browser, server)
    console.until(console.labels)
    yield console
    log: Any = browser.get_log("browser")  # type: ignore[no-untyped-call]
    log = [each for each in log if each["level"] == "SEVERE"]
    assert [each for each in log if "status of 4" not in each["message"]] == []


def test_keys_are_a_tree_with_counts_and_a_search(console: Console) -> None:
    assert "user:" in console.labels()[0]
    assert "20" in console.labels()[0]
    console.show("user:", "7")
    assert console.text("#key") == "user:7"
    console.press("/")
    console.press("user:1")
    console.until(lambda: "11" in console.labels()[0])
    assert console.text("#count") == "11"
    assert console.text("#found") == "11 found in 21 keys"


def test_a_search_finds_a_text_anywhere_in_a_key_and_shows_what_it_found(console: Console) -> None:
    console.ask({"type": "SET", "key": "shop/Order:77", "value": 1})
    console.fill("#search", "R:7")
    console.until(lambda: console.text("#found") == "2 found in 22 keys")
    assert [label.split()[-1] for label in console.labels()] == ["1", "1", "77", "1", "7"]
    console.row("77").click()
    console.until(lambda: console.text("#key") == "shop/Order:77")
    console.row("Order:").click()
    console.until(lambda: len(console.labels()) == 4)
    console.fill("#search", "")
    console.press(" ", Keys.BACKSPACE)
    console.until(lambda: not console.find("#searched").is_displayed())


LATE_PAGES = """
window.real = window.fetch;
let pages = 0;
window.held = [];
window.fetch = (path, how) =>
  path.startsWith("v1/keys?") && ++pages > 3
    ? new Promise((done) => window.held.push(done)).then(() => real(path, how))
    : real(path, how);
"""


def test_a_search_shows_its_progress_stops_and_goes_on(console: Console) -> None:
    for start in range(0, 100_000, 20_000):
        console.ask({"type": "MSET", "items": {f"k{n}": n for n in range(start, start + 20_000)}})
    console.browser.execute_script(LATE_PAGES)
    console.find("#search").send_keys("9999")
    console.until(lambda: console.browser.execute_script("return window.held.length"))
    console.until(lambda: console.text("#found").endswith(" of 100,021 keys"))
    assert console.find("#stop").is_displayed()
    progress = console.find("#progress")
    assert 0 < int(progress.get_property("value")) < int(progress.get_property("max"))
    console.press(Keys.ESCAPE)
    console.until(lambda: not console.find("#stop").is_displayed())
    console.browser.execute_script("window.held.pop()(); window.fetch = real")
    assert console.find("#search").get_property("value") == "9999"
    assert not progress.is_displayed()
    assert console.text("#more") == "Search on"
    console.click("#more")
    console.until(lambda: console.text("#found") == "19 found in 100,021 keys")
    assert not console.find("#more").is_displayed()


def test_a_value_is_laid_out_with_its_numbers_as_they_are(console: Console) -> None:
    console.show("user:", "3")
    assert console.text("#value") == '{\n  "name": "u3",\n  "n": 12345678901234567000\n}'.replace(
        "12345678901234567000", "12345678901234567890"
    )
    assert "object" in console.text("#facts")
    assert console.find("#value .k").text == '"name"'


def test_a_value_is_edited_and_checked_while_it_is_typed(console: Console) -> None:
    console.show("plain")
    console.press("e")
    console.until(lambda: console.find("#editor").is_displayed())
    console.fill("#text", '{"a": ')
    console.until(lambda: not console.find("#save").is_enabled())
    assert console.find("#check").get_attribute("class") == "bad"
    console.find("#text").send_keys("1.50}")
    console.until(lambda: console.find("#save").is_enabled())
    console.find("#text").send_keys(Keys.CONTROL, Keys.ENTER)
    assert console.message() == "Saved."
    assert console.ask({"type": "GET", "key": "plain"}) == [{"a": 1.5}]


PASTED = """{
\t"n": [12345678901234567890, 1.50, -0.0, 1E2],
  "say \\"hi\\" \\\\" : " a \\\\\\" { b:  \u00a0" ,
  "": [ ]
}
"""
COMPACT = (
    '{"n":[12345678901234567890,1.50,-0.0,1E2],"say \\"hi\\" \\\\":" a \\\\\\" { b:  \u00a0","":[]}'
)


@pytest.mark.parametrize("how", ["editor", "command line"])
def test_a_document_is_stored_without_the_space_between_its_tokens(
    console: Console, how: str
) -> None:
    assert json.loads(COMPACT) == json.loads(PASTED)
    if how == "editor":
        console.press("n")
        console.fill("#new-key", "pasted")
        field = console.find("#text")
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        console.browser.execute_script(script, field, PASTED)
        field.send_keys(Keys.CONTROL, Keys.ENTER)
        assert console.message() == "Saved."
    else:
        line = PASTED.replace("\n", " ").replace("\t", " ")
        console.run(f"SET pasted '{line}'")
        console.until(lambda: console.ask({"type": "EXISTS", "key": "pasted"}) == [True])
    stored = console.server.ask(b'{"type":"GET","key":"pasted"}\n')
    assert stored.decode() == f'{{"ok":true,"result":{COMPACT}}}\n'


def test_a_change_by_another_client_is_not_overwritten(console: Console) -> None:
    console.show("plain")
    console.click("#edit")
    console.ask({"type": "SET", "key": "plain", "value": "theirs"})
    console.fill("#text", '"mine"')
    console.click("#save")
    console.until(lambda: "Another client changed" in console.text("#check"))
    assert console.ask({"type": "GET", "key": "plain"}) == ["theirs"]
    console.click("#cancel")
    console.until(lambda: console.text("#value") == '"theirs"')


def test_a_key_is_created_and_no_other_replaced(console: Console) -> None:
    console.press("n")
    console.fill("#new-key", "plain")
    console.fill("#text", "[1]")
    console.click("#save")
    console.until(lambda: "There is a key" in console.text("#check"))
    console.fill("#new-key", "new ä/key")
    console.fill("#new-ttl", "60")
    console.click("#save")
    console.until(lambda: console.text("#key") == "new ä/key")
    assert 0 < console.ask({"type": "TTL", "key": "new ä/key"})[0] <= 60


def test_a_key_that_no_url_names_is_told_and_no_other_shown(console: Console) -> None:
    console.server.ask(b'{"type":"MSET","items":{"":"empty",".":"dot"}}\n')
    console.browser.refresh()
    console.until(partial(console._click_row, "."))
    assert "no URL names this key" in console.message()
    assert not console.find("#detail").is_displayed()


@pytest.mark.parametrize("key", ["d", "e"])
def test_a_key_that_cannot_be_shown_leaves_nothing_of_the_one_before(
    console: Console, key: str
) -> None:
    console.ask({"type": "SET", "key": "..", "value": 1})
    console.browser.refresh()
    console.show("plain")
    console.until(partial(console._click_row, ".."))
    assert "no URL names this key" in console.message()
    assert not console.find("#detail").is_displayed()
    console.press(key)
    assert not console.find("#editor").is_displayed()
    assert console.ask({"type": "COUNT"})[0] == 22


HELD = """
const send = window.fetch;
window.fetch = (...request) => {
  const held = (go) => (window.go = () => send(...request).then(go));
  return request[0].endsWith("user%3A3") ? new Promise(held) : send(...request);
};
"""


def test_a_key_that_is_being_read_can_be_neither_deleted_nor_shown_too_late(
    console: Console,
) -> None:
    console.show("plain")
    console.browser.execute_script(HELD)
    console.until(partial(console._click_row, "user:"))
    console.until(partial(console._click_row, "3"))
    console.press("d")
    assert not console.find("#toast").is_displayed()
    console.until(partial(console._click_row, "4"))
    console.until(lambda: console.text("#key") == "user:4")
    console.browser.execute_async_script("window.go().then(() => setTimeout(arguments[0], 50))")
    assert console.text("#key") == "user:4"
    assert console.ask({"type": "COUNT"})[0] == 21


def test_what_cannot_be_seen_in_a_key_is_written_as_in_json(console: Console) -> None:
    keys = ["line\nbreak", "\u202egnp", "tag\U000e0041", " ", "a b", "group\t:key"]
    console.ask({"type": "MSET", "items": dict.fromkeys(keys, 1)})
    console.browser.refresh()
    console.until(console.labels)
    found = "return [...document.querySelectorAll('#keys .label')].map((each) => each.textContent)"
    assert {
        *['"line\\nbreak"', '"\\u202egnp"', '"tag\\udb40\\udc41"', '" "', "a b", '"group\\t:"']
    } < {*console.browser.execute_script(found)}
    console.show('"line\\nbreak"')
    assert console.text("#key") == '"line\\nbreak"'


def test_a_deleted_key_comes_back(console: Console) -> None:
    console.ask({"type": "EXPIRE", "key": "plain", "ttl": 500})
    console.show("plain")
    console.press("d")
    assert console.message() == "Deleted plain."
    assert console.ask({"type": "EXISTS", "key": "plain"}) == [False]
    console.click("#undo")
    console.until(lambda: console.text("#message") == "plain is back.")
    assert console.ask({"type": "GET", "key": "plain"}) == [[1, "two", None]]
    assert console.ask({"type": "TTL", "key": "plain"})[0] > 400


def test_a_ttl_is_set_and_cleared(console: Console) -> None:
    console.show("plain")
    console.fill("#ttl", "100")
    console.find("#ttl").send_keys(Keys.ENTER)
    console.until(lambda: "s to live" in console.text("#facts"))
    assert 0 < console.ask({"type": "TTL", "key": "plain"})[0] <= 100
    console.click("#ttl-clear")
    console.until(lambda: "for ever" in console.text("#facts"))
    assert console.ask({"type": "TTL", "key": "plain"}) == [None]


def test_commands_are_typed_completed_and_explained(console: Console) -> None:
    console.press(":")
    console.press("pers", Keys.TAB)
    console.until(lambda: console.find("#command").get_attribute("value") == "PERSIST ")
    assert "Remove the ttl" in console.text("#hint")
    for line, expected in [
        ("SET typed '{\"a\": [1, 2]}' --ttl 50", "true"),
        ("GET typed", '"a"'),
        ("MSET a 1 b 'two words'", "true"),
        ("MGET a b", "two words"),
        ("INCR a --by 41", "42"),
        ("SET typed {bad", "it looks like JSON and is not: "),
        ("MSET typed '[1, 2'", "it looks like JSON and is not: "),
        ("GET typed", '"a"'),
        ('SET typed "{bad"', "true"),
        ("GET typed", "{bad"),
        ("NOPE", "There is no command"),
        ("INCR b", "NOT_A_NUMBER"),
        ("HELP SET", "SET KEY VALUE"),
        ("keys user:19", "user:19"),
        ("KEYS none", "(nothing)"),
        ("KEYS a b", 'KEYS takes no "b". KEYS [PREFIX]'),
    ]:
        console.run(line)
        console.until(partial(console.has_printed, line, expected))


def test_the_keys_follow_what_the_command_line_changes(console: Console) -> None:
    console.show("user:", "3")
    console.run("SET user:99 1")
    console.row("99")  # in the group, which is still open
    console.run("DELETE user:3")
    console.until(lambda: "3" not in console.labels())
    console.until(lambda: not console.find("#detail").is_displayed())
    console.run('BATCH \'[{"type": "MDELETE", "keys": ["user:4", "user:5"]}]\'')
    console.until(lambda: console.text("#count") == "19")
    console.run("FLUSH")
    console.until(lambda: console.labels() == [])
    assert console.text("#count") == "0"


def test_one_byte_and_one_key_are_singular(console: Console) -> None:
    console.run("FLUSH")
    console.run("SET one 1")
    console.show("one")
    assert console.text("#facts") == "number · 1 byte · lives for ever"
    console.until(lambda: console.text("#server").endswith("· 1 key"))
    console.fill("#search", "o")
    console.until(lambda: console.text("#found") == "1 found in 1 key")


def test_the_figures_move(console: Console) -> None:
    figure = "#figures .figure:nth-child({})"
    console.until(lambda: console.find(figure.format(5)))
    console.ask(*[{"type": "GET", "key": "plain"}] * 500)
    console.until(lambda: console.text(figure.format(2) + " p").startswith("100 %"))
    assert console.find(figure.format(1) + " .line").get_attribute("d").count("L") >= 1


def test_many_keys_and_a_long_value_leave_the_page_usable(console: Console) -> None:
    for start in range(0, 100_000, 20_000):
        console.ask({"type": "MSET", "items": {f"k{n}": n for n in range(start, start + 20_000)}})
    console.ask({"type": "SET", "key": "long", "value": [{"text": "x" * 100}] * 30_000})
    console.click("#reload")
    console.until(lambda: console.find("#more").is_displayed())
    assert len(console.labels()) <= 202
    console.fill("#search", "long")
    console.show("long")
    assert "MiB" in console.text("#facts")
    assert "more characters" in console.find("#value").get_attribute("textContent")
    assert not console.find("#edit").is_enabled()


def test_the_password_is_asked_for_and_not_kept(browser: webdriver.Chrome) -> None:
    with running_server(KV_PASSWORD="sécret") as server:
        console = Console(browser, server)
        console.until(lambda: console.find("#login").is_displayed())
        console.fill("#password", "wrong")
        console.press(Keys.ENTER)
        console.until(lambda: "wrong" in console.text("#login-error"))
        console.fill("#password", "sécret")
        console.press(Keys.ENTER)
        console.until(lambda: not console.find("#login").is_displayed())
        console.until(lambda: console.text("#count") == "0")
        stored = browser.execute_script(
            "return [localStorage.length, sessionStorage.length, document.cookie]"
        )
        assert stored == [0, 0, ""]
        browser.refresh()
        console.until(lambda: console.find("#login").is_displayed())
        browser.get("about:blank")


@contextlib.contextmanager
def screen(
    browser: webdriver.Chrome, width: int, height: int, theme: str = "light"
) -> Iterator[None]:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": theme}]},
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_the_screen(console: Console, theme: str, width: int, tmp_path: Path) -> None:
    browser = console.browser
    with screen(browser, width, 900, theme):
        console.show("user:", "3")
        assert browser.save_screenshot(str(tmp_path / f"{theme}-{width}.png"))
        assert _scroll_width(browser) <= width
        browser.execute_script(LATE_PAGES.replace("> 3", "> 0"))
        console.fill("#search", "R:1")
        console.until(lambda: console.find("#stop").is_displayed())
        assert browser.save_screenshot(str(tmp_path / f"searching-{theme}-{width}.png"))
        assert _scroll_width(browser) <= width
        browser.execute_script("window.held.pop()()")
        console.until(lambda: console.text("#found") == "11 found in 21 keys")
        assert browser.save_screenshot(str(tmp_path / f"found-{theme}-{width}.png"))
        assert _scroll_width(browser) <= width


def _scroll_width(browser: webdriver.Chrome) -> int:
    return int(browser.execute_script("return document.documentElement.scrollWidth"))


MISPLACED = """
const box = (element) => element.getBoundingClientRect();
const isWithin = (a, b) =>
  a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
const isBeside = (a, b) =>
  a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
const shown = (found) => [...found].filter((each) => each.checkVisibility());
const panels = shown(document.querySelectorAll("header, .figure, main > *, #shell"));
return panels.flatMap((panel) => [
  ...shown(panel.querySelectorAll(":not(#keys *, #value *, #output *, svg *)"))
    .filter((each) => !isWithin(box(each), box(panel))),
  ...panels.filter((each) => each !== panel && !isBeside(box(each), box(panel))),
]).map((each) => each.id || each.outerHTML);
"""


@pytest.mark.parametrize(
    ("width", "height"), [(320, 480), (760, 480), (1200, 757), (1366, 625), (2560, 1440)]
)
def test_no_panel_is_too_small_for_its_content(console: Console, width: int, height: int) -> None:
    long = "long" * 1000
    console.ask({"type": "MSET", "items": {long: ["x" * 5000] * 9}})
    console.click("#reload")
    with screen(console.browser, width, height):
        for is_open in (False, True):
            if is_open:
                console.run("HELP")
            for key in ("plain", long):
                console.show(key)
                assert console.browser.execute_script(MISPLACED) == []
                console.click("#edit")
                assert console.browser.execute_script(MISPLACED) == []
                console.click("#cancel")
            console.click("#new")
            assert console.browser.execute_script(MISPLACED) == []
            console.click("#cancel")
            assert _scroll_width(console.browser) <= width
        console.click("#delete")
        console.click("#undo")
        console.until(lambda: console.text("#message").endswith("is back."))


ATTACK = """<!doctype html><title>running</title><body>
<iframe name="hidden"></iframe>
<form id="form" method="post" enctype="text/plain" target="hidden" action="SERVER/v1/commands">
<input name='{"type":"FLUSH","id":"' value='"}'></form>
<script>
const attempts = {
  form: async () => form.submit(),
  post: () =>
    fetch("SERVER/v1/commands", { method: "POST", mode: "no-cors", body: '{"type":"FLUSH"}' }),
  redis: () => fetch("SERVER/", { method: "POST", mode: "no-cors", body: '["FLUSHALL"]' }),
  cors: () => fetch("SERVER/v1/keys/plain").then((answer) => answer.text()),
  remove: () => fetch("SERVER/v1/keys/plain", { method: "DELETE" }),
  put: () => fetch("SERVER/v1/keys/plain", { method: "PUT", body: "0" }),
  token: () => fetch("SERVER/flushall", { headers: { Authorization: "Bearer x" } }),
  image: () => new Promise((done, fail) => {
    const image = new Image();
    image.onload = done; image.onerror = fail; image.src = "SERVER/flushall";
  }),
  script: () => new Promise((done, fail) => {
    const script = document.createElement("script");
    script.onload = done; script.onerror = fail; script.src = "SERVER/v1/keys/plain";
    document.body.append(script);
  }),
  frame: () => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.src = "SERVER/";
    document.body.append(frame);
    frame.onload = () => done(frame.contentDocument?.title);
  }),
  socket: () => new Promise((done, fail) => {
    const socket = new WebSocket("SERVER/v1/keys/plain".replace("http", "ws"));
    socket.onopen = done; socket.onerror = fail;
  }),
};
(async () => {
  const told = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    told[name] = await attempt().then((value) => String(value?.type ?? value), () => "refused");
  }
  document.title = JSON.stringify(told);
})();
</script>"""


@contextlib.contextmanager
def site_of(page: str) -> Iterator[int]:
    """The port of another web server, with one page."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site.server_port
        finally:
            site.shutdown()
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_site_changes_and_reads_nothing(
    browser: webdriver.Chrome, server: Server, host: str
) -> None:
    server.ask(b'{"type":"SET","key":"plain","value":"mine"}\n')
    page = ATTACK.replace("SERVER", f"http://127.0.0.1:{server.port}")
    with site_of(page) as port:
        browser.get(f"http://{host}:{port}/")
        WebDriverWait(browser, TIMEOUT, 0.05).until(lambda _: browser.title.startswith("{"))
        told = json.loads(browser.title)
        browser.get("about:blank")
    assert server.ask(b'{"type":"GET","key":"plain"}\n') == b'{"ok":true,"result":"mine"}\n'
    assert "mine" not in str(told)
    opaque = {"form", "post", "redis"}  # a browser does not tell a page how these ended
    refused = {name for name, how in told.items() if how in ("refused", "null", "undefined")}
    assert {*told} - refused <= opaque, told
