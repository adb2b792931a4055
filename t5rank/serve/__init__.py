"""The inference server. Clients of other rerank servers use it unchanged.

`app` is the ASGI application, and `server` runs it. `access` logs a request, a file of `dialects`
reads it, `models` chooses the model, `engine` scores it, and the dialect writes the answer.
"""
