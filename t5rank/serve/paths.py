"""Requests get the paths that the routes know."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Paths:
    """Removes the prefix of a proxy, and superfluous slashes.

    Args:
      app: what answers.
      root: the prefix, as `/t5rank`. A path without it stays: the proxy has removed it.
    """

    def __init__(self, app: ASGIApp, root: str = ""):
        self.app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if self._root and path == self._root and scope["method"] in ("GET", "HEAD"):
                # The pages link to each other by relative addresses.
                await RedirectResponse(f"{self._root}/")(scope, receive, send)
                return
            scope["path"] = self._inner(path)
        await self.app(scope, receive, send)

    def _inner(self, path: str) -> str:
        if self._root and f"{path}/".startswith(f"{self._root}/"):
            path = path[len(self._root) :]
        return "/" + "/".join(part for part in path.split("/") if part)
