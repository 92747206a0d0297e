"""The admin door: HTTP for Prometheus, for whoever asks whether all is well, and for browsers.

``/metrics``; ``/healthz``: the process answers; ``/readyz``: every directory answers, too
(503 while one does not).  Its first line sums up; the others name each directory, server and
next system, up or down, and nothing more.  ``/``: the status page, ``/explain`` the answer to
its form, ``/live`` what its script asks for.

Who may read it, and what a browser may do with it: :mod:`codomain_cli.page.security`.
Nothing here changes anything, and nothing makes a search or a call-out.
"""

from __future__ import annotations

import logging
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from codomain.exposition import Exposition
from codomain.journal import Throttle
from codomain_cli import httplimits
from codomain_cli.httplimits import Few
from codomain_cli.page.security import HEADERS, METHODS, refusal
from codomain_policyd.listeners import close_all, listen

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler, Middleware

    from codomain.config import Endpoint
    from codomain.metrics import Metrics
    from codomain.runtime import InForce
    from codomain_cli.health import Health
    from codomain_cli.page.pages import Pages
    from codomain_policyd.listeners import Listening

SHUTDOWN_SECONDS = 1.0
"""How long a scrape under way may take to end at a stop."""

FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What the page is made of beside itself, with its type."""

log = logging.getLogger("codomain.http")


class Admin:
    """The HTTP listeners of one process."""

    def __init__(self, metrics: Metrics, health: Health, in_force: InForce, pages: Pages) -> None:
        self._exposition = Exposition(metrics)
        self._health = health
        self._in_force = in_force
        self._throttle = Throttle(log)
        app = web.Application(middlewares=[self._guard()])
        app.on_response_prepare.append(_harden)
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_healthz)
        app.router.add_get("/readyz", self._serve_readyz)
        app.router.add_get("/", _page(pages.whole))
        app.router.add_get("/live", _page(pages.live))
        app.router.add_get("/explain", _page(pages.explain))
        for name, kind in FILES.items():
            app.router.add_get(f"/{name}", _file(name, kind))
        self._few = Few(self._throttle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=httplimits.IDLE_SECONDS,
        )
        self._listening: list[Listening] = []
        self._servers: list[asyncio.AbstractServer] = []

    async def open(self, endpoints: tuple[Endpoint, ...], group: str, mode: int) -> None:
        """Open every listener, or none.

        Raises:
            ListenError: one of them cannot be opened; the text names it and what holds it.

        """
        await self._runner.setup()
        self._few.begin()
        try:
            for endpoint in endpoints:
                for listening in listen(endpoint, group=group, mode=mode):
                    self._listening.append(listening)
                    self._servers.append(await httplimits.serve(self._runner, listening.sock))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the listeners."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        await self._runner.cleanup()
        close_all(self._listening)
        self._listening.clear()
        self._few.end()

    def _guard(self) -> Middleware:
        """Return what turns away whoever may not ask (a middleware of aiohttp)."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            peer, local = _ends(request)
            config = self._in_force.runtime.config
            hosts = request.headers.getall("Host", [])
            refused = refusal(config, request.method, hosts, peer, local)
            if refused is None:
                return await handler(request)
            self._throttle.warn(
                "turned-away",
                str(refused.status),
                peer=peer,
                host=",".join(hosts),
                method=request.method,
            )
            response = web.Response(status=refused.status, text=f"{refused.text}\n")
            if refused.status == web.HTTPMethodNotAllowed.status_code:
                response.headers["Allow"] = ", ".join(METHODS)
            return response

        return guard

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._exposition.page(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _serve_healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _serve_readyz(self, _request: web.Request) -> web.Response:
        silent = self._health.silent()
        names = ", ".join(sorted(silent))
        first = f"no answer from directory {names}" if silent else "ready"
        states = [f"{name} {'up' if up else 'down'}" for name, up in self._health.states()]
        text = "".join(f"{line}\n" for line in (first, *states))
        return web.Response(status=503 if silent else 200, text=text)


def _page(make: Callable[[web.Request], Awaitable[str]]) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        return web.Response(text=await make(request), content_type="text/html", charset="utf-8")

    return serve


def _file(name: str, kind: str) -> Handler:
    body = files("codomain_cli.page").joinpath(name).read_bytes()

    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"Content-Type": kind})

    return serve


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers of security on every answer, also on those of aiohttp itself."""
    response.headers.update(HEADERS)


def _ends(request: web.Request) -> tuple[str | None, str | None]:
    """Return where a request came from and where it came to; None over a unix socket."""
    transport = request.transport
    if transport is None:
        return "gone", None
    peer, local = (transport.get_extra_info(name) for name in ("peername", "sockname"))
    if isinstance(peer, tuple) and isinstance(local, tuple):
        return str(peer[0]), str(local[0])
    return None, None
