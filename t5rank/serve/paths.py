"""The path of a request, as the routes know it."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Paths:
    """Takes away the prefix of a proxy, and slashes that are one too many.

    Args:
      app: what answers.
      root: the prefix, as `/t5rank`. A path without it is taken as it is: the proxy cut it off.
    """

    def __init__(self, app: ASGIApp, root: str = ""):
        self.app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] == "http":
            path = scope["path"]
            if self._root and path == self._root and scope["method"] in ("GET", "HEAD"):
                # The pages name each other by relative addresses.
                await RedirectResponse(f"{self._root}/")(scope, receive, send)
                return
            scope["path"] = self._inner(path)
        await self.app(scope, receive, send)

    def _inner(self, path: str) -> str:
        if self._root and f"{path}/".startswith(f"{self._root}/"):
            path = path[len(self._root) :]
        return "/" + "/".join(part for part in path.split("/") if part)
