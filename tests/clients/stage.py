"""What the Python scripts stand on: where the simulator is, its control API, waiting, and the lines that the driver reads."""

import asyncio
import json
import os
import time
from urllib.parse import urlsplit

import aiohttp

SIM = json.loads(os.environ["SEGUE_SIM"])


async def control(method, path, body=None):
    """One call to the control API; its JSON."""
    async with aiohttp.ClientSession() as http:
        async with http.request(method, SIM["control"] + path, json=body) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text else None


async def world():
    return await control("GET", "/world")


async def audio(guild):
    """What people hear in a guild."""
    return await control("GET", f"/guilds/{guild}/audio?since_ms=0")


async def fault(kind, **fields):
    """A fault begins; its id."""
    return (await control("POST", "/faults", {"kind": kind, **fields}))["id"]


def address(name):
    """Host, port and password of a node."""
    node = next(each for each in SIM["lavalink"] if each["name"] == name)
    url = urlsplit(node["url"])
    return url.hostname, url.port, node["password"]


async def until(what, ask, limit_s=15.0):
    """Asks until the answer is true; fails with the last one."""
    end = time.monotonic() + limit_s
    while True:
        seen = ask()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return seen
        assert time.monotonic() < end, f"not within {limit_s} s: {what}; last seen: {seen!r}"
        await asyncio.sleep(0.025)


def row(name, saw, **compared):
    """One row was exercised: what the client saw, and what the simulator must have logged, counted or heard if so."""
    print(json.dumps({"row": name, "saw": saw, **compared}), flush=True)
