"""A real Chromium without a window, driven by the Chrome DevTools protocol.

In flow URLs, sizes and keys; out flow what the page says, pictures, what it loaded, and
what the browser complained of.  The browser has a profile of its own and asks nobody but
the page; it is ended by its process group's id.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Coroutine

SECONDS = 60.0
"""The bound of a start and of each command; on a quiet machine they take less than two."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)

AXE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    / "codomain/axe-core-4.14.1/axe.min.js"
)
"""Where packaging/setup/axe.sh puts the rules of accessibility."""

KEYS = {"Tab": 9, "Enter": 13, " ": 32}
"""The virtual key codes of the keys that tests press."""


class Chromium:
    """One browser with one page."""

    def __init__(self, folder: Path) -> None:
        """Take an empty folder for its profile."""
        self._folder = folder
        self._runner = asyncio.Runner()
        self._number = 0
        self.loaded: list[str] = []
        """The URLs that were asked for."""
        self.complaints: list[str] = []
        """What the console says: violations of the page's policy, errors of its script."""

    def __enter__(self) -> Self:
        """Start it."""
        program = shutil.which("chromium")
        assert program, "there is no chromium: packaging/setup/system.sh tests installs it"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, *FLAGS, f"--user-data-dir={self._folder / 'profile'}", "about:blank"],
                env={**os.environ, "HOME": os.fspath(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._run(self._connect())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and all of its processes."""
        try:
            self._run(self._disconnect())
        finally:
            self._runner.close()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(SECONDS)

    def size(self, width: int, height: int = 900, *, scheme: str = "light") -> None:
        """Make the window so large, in CSS pixels, and light or dark."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.tell("Emulation.setEmulatedMedia", features=features)

    def scripts(self, *, on: bool) -> None:
        """Let pages run scripts, or not."""
        self.tell("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, url: str) -> None:
        """Load a page, and return when it is there."""
        self.loaded.clear()
        self.complaints.clear()
        self._loads = asyncio.Event()
        answer = self.tell("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self._run(self._loaded())

    def press(self, key: str) -> None:
        """Press a key."""
        text = {"Enter": "\r", " ": " "}.get(key)
        for kind in ("keyDown", "keyUp"):
            self.tell(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=KEYS[key],
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.tell("Input.insertText", text=text)

    def see(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page says
        """Return the value of a JavaScript expression."""
        answer = self.tell(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def await_(self, expression: str, what: str = "") -> None:
        """Wait until a JavaScript expression holds."""
        end = time.monotonic() + SECONDS
        while not self.see(expression):
            assert time.monotonic() < end, what or expression
            self._run(asyncio.sleep(0.05))

    def picture(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        size = self.tell("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.tell("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def axe(self) -> list[dict[str, Any]]:
        """Return what axe-core finds of the page."""
        assert AXE.is_file(), f"{AXE} is missing: packaging/setup/axe.sh fetches it"
        self.see(f"{AXE.read_text()}\n;0")
        found: list[dict[str, Any]] = self.see("axe.run().then(found => found.violations)")
        return found

    def tell(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command of the protocol, and return its result."""
        answer: dict[str, Any] = self._run(self._tell(method, parameters))
        return answer

    def _run(self, what: Coroutine[object, object, Any]) -> Any:  # noqa: ANN401
        async def bounded() -> Any:  # noqa: ANN401
            async with asyncio.timeout(SECONDS):
                return await what

        return self._runner.run(bounded())

    async def _connect(self) -> None:
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loads = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None
        active = self._folder / "profile" / "DevToolsActivePort"
        while not active.exists() or not active.read_text().strip():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            await asyncio.sleep(0.05)
        port = int(active.read_text().split()[0])
        self._session = aiohttp.ClientSession()
        async with self._session.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
            url = (await answer.json(content_type=None))["webSocketDebuggerUrl"]
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        self._listening = asyncio.create_task(self._listen())
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self._tell(f"{domain}.enable", {})

    async def _disconnect(self) -> None:
        if getattr(self, "_session", None) is None:
            return
        if hasattr(self, "_listening"):
            self._listening.cancel()
            await asyncio.wait({self._listening})
            await self._socket.close()
        assert self._session is not None
        await self._session.close()

    async def _tell(self, method: str, parameters: dict[str, object]) -> dict[str, Any]:
        self._number += 1
        answer = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        result: dict[str, Any] = await answer
        return result

    async def _loaded(self) -> None:
        await self._loads.wait()

    async def _listen(self) -> None:
        async for message in self._socket:
            read = json.loads(message.data)
            if "id" in read:
                waiting = self._waiting.pop(read["id"])
                if "error" in read:
                    waiting.set_exception(AssertionError(read["error"]))
                else:
                    waiting.set_result(read["result"])
            else:
                self._heard(read["method"], read["params"])

    def _heard(self, method: str, what: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loads.set()
            case "Network.requestWillBeSent":
                self.loaded.append(what["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(f"{what['entry']['source']}: {what['entry']['text']}")
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(what["exceptionDetails"]))
            case _:
                pass
