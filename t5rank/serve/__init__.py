"""The inference server: today's rerank clients talk to it unchanged.

`app` is the ASGI application, `server` runs it. A request goes through `access`, `dialects`
(what it asks for), `models` (which model), `engine` (its place in the queue, its batches) and back.
"""
