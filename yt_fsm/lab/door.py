"""The ports of a server of the lab, which can be shut: connections are then refused, as where no machine is."""

import asyncio

from aiohttp import web


class Door:
    """Where one application is served, on ports of 127.0.0.1 that stay the same when it opens again."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        self.ports: tuple[int, ...] = ()
        self._opening: asyncio.Task[None] | None = None

    async def make(self, *ports: int) -> None:
        """Take the ports (0: any) and open. Raises OSError when one is taken."""
        await self._runner.setup()
        self.ports = ports
        await self.open()
        self.ports = tuple(address[1] for address in self._runner.addresses)

    @property
    def shut(self) -> bool:
        """Whether nobody comes in."""
        return not self._runner.sites

    async def open(self) -> None:
        """Take connections."""
        self._forget()
        if self.shut:
            for port in self.ports:
                await web.TCPSite(self._runner, "127.0.0.1", port).start()

    async def shut_for(self, seconds: float) -> None:
        """Refuse connections for so long, or until `open`; what is connected already is the application's affair."""
        self._forget()
        for site in list(self._runner.sites):
            await site.stop()
        if seconds < float("inf"):
            self._opening = asyncio.get_running_loop().create_task(self._open_in(seconds))

    async def remove(self) -> None:
        """Close the ports and every connection."""
        self._forget()
        await self._runner.cleanup()

    async def _open_in(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._opening = None
        await self.open()

    def _forget(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
