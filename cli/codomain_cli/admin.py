"""The admin door: HTTP for Prometheus and for whoever asks whether all is well.

``/metrics``; ``/healthz``: the process answers; ``/readyz``: every directory answers, too
(503 while one does not, with its name and nothing more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from codomain_policyd.listeners import close_all, listen

if TYPE_CHECKING:
    from codomain.config import Endpoint
    from codomain.metrics import Metrics
    from codomain_cli.health import Health
    from codomain_policyd.listeners import Listening

SHUTDOWN_SECONDS = 1.0
"""How long a scrape under way may take to end at a stop."""


class Admin:
    """The HTTP listeners of one process."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_healthz)
        app.router.add_get("/readyz", self._serve_readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        self._listening: list[Listening] = []

    async def open(self, endpoints: tuple[Endpoint, ...], group: str, mode: int) -> None:
        """Open every listener, or none.

        Raises:
            ListenError: one of them cannot be opened; the text names it and what holds it.

        """
        await self._runner.setup()
        try:
            for endpoint in endpoints:
                for listening in listen(endpoint, group=group, mode=mode):
                    self._listening.append(listening)
                    await web.SockSite(self._runner, listening.sock).start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the listeners."""
        await self._runner.cleanup()
        close_all(self._listening)
        self._listening.clear()

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        encoder, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encoder(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _serve_healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _serve_readyz(self, _request: web.Request) -> web.Response:
        silent = self._health.silent()
        if silent:
            names = ", ".join(sorted(silent))
            return web.Response(status=503, text=f"no answer from directory {names}\n")
        return web.Response(text="ready\n")
