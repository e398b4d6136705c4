"""A small client of headless Chromium over the DevTools protocol: pages, real input, screenshots, what they logged."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-sync",
)
_LIMIT_S = 60.0


def chromium() -> str | None:
    """The program, or None where there is none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab. `problems`: console errors, uncaught exceptions, violations; `requests`: every address it asked for."""

    def __init__(self, socket: websocket.WebSocket, session: str):
        self._socket, self._session, self._last = socket, session, 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Performance.enable", timeDomain="threadTicks")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result; events that arrive meanwhile are noted."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params, "sessionId": self._session}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._last and answer.get("sessionId") == self._session:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        params, method = event.get("params", {}), event.get("method")
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.problems.append(json.dumps(params["args"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """Set the size of the window and the preferred colours."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[feature])

    def open(self, path: Path) -> float:
        """Open a file; the milliseconds until its scripts had run and what is in view was painted."""
        self.problems.clear()
        self.requests.clear()
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement?.dataset.ready === 'true'")
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return float(self.evaluate("performance.now()"))

    def evaluate(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true; TimeoutError after a minute."""
        self._until(lambda: bool(self.evaluate(condition)), condition)

    @staticmethod
    def _until(met: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _LIMIT_S
        while not met():
            if time.monotonic() > end:
                raise TimeoutError(what)
            time.sleep(0.02)

    def place(self, selector: str, index: int = 0) -> tuple[float, float]:
        """The middle of an element in the window, after scrolling to it."""
        found = f"document.querySelectorAll({json.dumps(selector)})[{index}]"
        self.evaluate(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = self.evaluate(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({found}.getBoundingClientRect())")
        return float(box[0]), float(box[1])

    def hover(self, x: float, y: float) -> None:
        """Move the mouse there, by way of a spot beside it."""
        for dx in (30, 8, 0):
            self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + dx, y=y)

    def click(self, selector: str, index: int = 0) -> None:
        """Press and release the left button on an element."""
        x, y = self.place(selector, index)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the left button at one place of the window and release it at another."""
        steps = [("mouseMoved", start), ("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)]
        for kind, (x, y) in steps:
            held = {"button": "left", "buttons": 1, "clickCount": 1} if kind != "mouseMoved" or (x, y) == end else {}
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **held)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str, code: int) -> None:
        """Press and release a key (its name and virtual code) where the focus is."""
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def busy_s(self) -> float:
        """CPU seconds that the page's main thread has used since the page was opened."""
        metrics = self.send("Performance.getMetrics")["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))

    def screenshot(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        answer = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """The page as printed."""
        return base64.b64decode(self.send("Page.printToPDF", preferCSSPageSize=True)["data"])


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """A Chromium with a profile of its own and one page; it ends with the block; RuntimeError if it does not start."""
    program = chromium()
    if program is None:
        raise RuntimeError("no Chromium")
    command = [program, *_FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = profile / "DevToolsActivePort"
        Page._until(
            lambda: process.poll() is not None or (port_file.is_file() and "\n" in port_file.read_text()), "start"
        )
        if process.poll() is not None:
            raise RuntimeError(f"{program} ended with code {process.returncode}")
        port, path = port_file.read_text().split("\n")[:2]
        socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=_LIMIT_S, suppress_origin=True)
        try:
            yield Page(socket, _attach(socket))
        finally:
            socket.close()
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _attach(socket: websocket.WebSocket) -> str:
    """The session of a new page."""

    def ask(number: int, method: str, **params: Any) -> dict[str, Any]:
        socket.send(json.dumps({"id": -number, "method": method, "params": params}))
        while True:
            answer = json.loads(socket.recv())
            if answer.get("id") == -number:
                return dict(answer["result"])

    target = ask(1, "Target.createTarget", url="about:blank")["targetId"]
    return str(ask(2, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
