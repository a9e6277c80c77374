"""Labels of images over HTTP.

pip install fastapi uvicorn
MODEL=fashion.int8.tflite uvicorn --app-dir examples serve:app --port 8000
curl --data-binary @shoe.png localhost:8000/classify

The model is loaded once and called from the event loop without blocking it. To replace it while
it serves, move the new file over the old one, and send SIGHUP to the process: no request is lost,
and a bad file changes nothing. With ``--workers N`` each process has a model of its own; there,
SIGHUP makes uvicorn start new workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request

import edgekit

PATH = os.environ.get("MODEL", "")
if not PATH:
    sys.exit("error: MODEL: not set; start it as: MODEL=fashion.int8.tflite uvicorn …")
try:
    edgekit.load(PATH).close()  # a bad file is told here, before there is a server to stop
except edgekit.EdgekitError as error:
    sys.exit(f"error: MODEL: {error}")

LARGEST_BODY = 20_000_000  # bytes
log = logging.getLogger("uvicorn.error")


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[None]:
    """Hold the model from the start of the server to its end."""
    tasks: set[asyncio.Task[None]] = set()

    async def replace() -> None:
        try:
            await asyncio.to_thread(model.swap, PATH)
        except edgekit.EdgekitError as error:
            log.warning("the old model goes on: %s", error)
        else:
            log.info("serving the new %s", PATH)

    def on_hangup() -> None:
        task = asyncio.create_task(replace())
        tasks.add(task)  # the loop itself would let it be collected
        task.add_done_callback(tasks.discard)

    with edgekit.load(PATH, instances=os.cpu_count() or 1) as model:
        app.state.model = model
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
        yield


app = FastAPI(title="edgekit", lifespan=serving)


@app.post("/classify")
async def classify(request: Request, top: int = 3) -> list[dict[str, Any]]:
    """The likeliest labels of the image that is the body."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise HTTPException(413, f"more than {LARGEST_BODY} bytes")
    try:
        found = await request.app.state.model.classify_async(bytes(body), top=top)
    except (edgekit.DataError, edgekit.UsageError) as error:
        raise HTTPException(422, str(error)) from None
    return [{"label": one.label, "score": one.score} for one in found]


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Runs the samples that the file carries, and compares with what it gave where it was made."""
    model = request.app.state.model
    try:
        tested = await asyncio.to_thread(model.self_test)
    except edgekit.EdgekitError as error:
        raise HTTPException(503, str(error)) from None
    return {"backend": model.backend, "recipe": model.manifest.get("recipe"), "tested": tested}
