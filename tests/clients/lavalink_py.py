"""lavalink 5 for Python, with hikari bringing it the voice events: play, pause, seek, filters, resume, node loss."""

import asyncio
import logging

import hikari
import lavalink

from stage import SIM, address, audio, control, fault, row, until, world

PLAYER = "/v4/sessions/{session}/players/{guild}"


class Library:
    """A lavalink client and everything that it was told."""

    def __init__(self, user):
        self.client = lavalink.Client(user)
        self.events = []
        self.raw = []
        self.client.add_event_hook(self.hear)

    async def hear(self, event):
        if isinstance(event, lavalink.IncomingWebSocketMessage):
            self.raw.append(event.data)
        else:
            self.events.append(event)

    def node(self, name, password=None):
        host, port, right = address(name)
        return self.client.add_node(host, port, password or right, "eu", name)

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def told(self, kind, **fields):
        return [
            each
            for each in self.raw
            if kind in (each.get("type"), each.get("op")) and all(each.get(key) == value for key, value in fields.items())
        ]


async def log_in():
    """A hikari bot, as its users start one."""
    bot = hikari.GatewayBot(
        SIM["token"],
        rest_url=SIM["discord_api"] + "/api/v10",
        intents=hikari.Intents.GUILDS | hikari.Intents.GUILD_VOICE_STATES,
        banner=None,
        logs=None,
    )
    seen = []

    @bot.listen(hikari.ShardPayloadEvent)
    async def _payload(event):
        seen.append((event.name, dict(event.payload)))

    await bot.start(check_for_updates=False)
    guilds = (await world())["guilds"]
    await until("all guilds", lambda: len(bot.cache.get_available_guilds_view()) == len(guilds))
    ready = next(payload for name, payload in seen if name == "READY")
    transport = type(bot.shards[0]._ws).__name__
    assert "Zstd" in transport, transport
    opened = {"kind": "session_opened", "session": ready["session_id"], "shard": 0, "shards": 1}
    row("G2", {"session": ready["session_id"], "guilds": len(guilds)}, logged=[opened])
    stream = {"kind": "gateway_opened", "compress": "zstd-stream"}
    row("G27", {"transport": transport, "events": len(seen)}, logged=[stream, opened])
    return bot


async def main():
    here = (await world())["guilds"][0]
    guild = here["id"]
    voices = [channel["id"] for channel in here["channels"] if channel["kind"] == "voice"]
    await control("POST", f"/guilds/{guild}/voice", {"user": here["members"][0]["id"], "channel": voices[0]})
    bot = await log_in()
    library = Library(bot.get_me().id)

    @bot.listen(hikari.ShardPayloadEvent)
    async def _voice(event):
        if event.name in ("VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"):
            await library.client.voice_update_handler({"t": event.name, "d": dict(event.payload)})

    node = await first_node(library)
    await passwords(bot)
    await loading(library, node)
    player = await playing(bot, library, node, guild, voices[0])
    await controls(library, player, guild)
    await tracks(library, player, guild)
    await resumed(library, node, guild)
    await node_lost(library, player, guild)
    await deleted(library, player, guild)
    await library.client.close()
    await bot.close()


async def first_node(library):
    node = library.node("a")
    ready = (await until("ready", lambda: library.of(lavalink.NodeReadyEvent)))[0]
    assert not ready.resumed
    await until("stats", lambda: library.told("stats"))
    row(
        "L2",
        {"session": ready.session_id, "first": [each["op"] for each in library.raw[:2]]},
        logged=[{"kind": "node_session_open", "node": "a", "session": ready.session_id}],
    )
    assert [each["op"] for each in library.raw[:2]] == ["ready", "stats"]
    armed = await node.update_session(resuming=True, timeout=30)
    read = await node.update_session(timeout=30)
    assert armed == read == {"resuming": True, "timeout": 30}, (armed, read)
    patched = {"kind": "node_rest", "session": ready.session_id, "route": "PATCH /v4/sessions/{session}", "status": 200}
    row("L4", {"armed": armed, "read": read}, logged=[patched])
    return node


async def passwords(bot):
    stranger = Library(bot.get_me().id)
    node = stranger.node("a", "wrong")
    await until("the end of a refused handshake", lambda: node._transport._connection_task.done())
    try:
        await node.get_info()
        raise AssertionError("a wrong password was taken")
    except lavalink.AuthenticationError as error:
        refused = type(error).__name__
    assert not stranger.of(lavalink.NodeConnectedEvent)
    row("L1", {"connected": 0}, counted={"lavalink": {"GET /v4/websocket": {"least": 2}}})
    row("L3", {"refused": refused}, counted={"lavalink": {"GET /v4/info": {"least": 1}}})
    await stranger.client.close()


async def loading(library, node):
    seen = {}
    for identifier in ("sim:One?length=30", "sim:playlist:Trip?count=3", "ytsearch:moon", "nothing", "sim:error"):
        found = await node.get_tracks(identifier)
        seen[identifier] = (found.load_type.name, len(found.tracks))
    assert list(seen.values()) == [("TRACK", 1), ("PLAYLIST", 3), ("SEARCH", 20), ("EMPTY", 0), ("ERROR", 0)], seen
    row("L18", seen, counted={"lavalink": {"GET /v4/loadtracks": {"least": 5}}})


async def playing(bot, library, node, guild, channel):
    player = library.client.player_manager.create(int(guild))
    await bot.update_voice_state(int(guild), int(channel), self_deaf=True)
    await until("voice at the node", lambda: library.told("playerUpdate", guildId=guild))
    found = await node.get_tracks("sim:Stroll?length=120")
    await player.play(found.tracks[0])
    await until("the start", lambda: library.of(lavalink.TrackStartEvent))

    async def heard():
        return (await audio(guild))["playing"]

    await until("music", heard)
    row(
        "G22",
        {"channel": channel},
        logged=[
            {"kind": "voice_request", "guild": guild, "channel": channel},
            {"kind": "voice_state", "guild": guild, "user": "bot", "channel": channel},
            {"kind": "voice_server", "guild": guild},
            {"kind": "frames_begin", "guild": guild, "node": "a"},
        ],
    )
    return player


async def controls(library, player, guild):
    node = player.node

    async def state():
        return (await node.get_player(guild))["state"]

    await player.seek(40_000)

    async def there():
        return (await state())["position"] >= 40_000

    await until("a position after the seek", there)
    await player.set_pause(True)
    frozen = (await state())["position"]
    await asyncio.sleep(0.4)
    assert (await state())["position"] == frozen
    await player.set_pause(False)
    faster = lavalink.Timescale()
    faster.update(speed=2.0)
    await player.set_filter(faster)
    assert (await node.get_player(guild))["filters"]["timescale"]["speed"] == 2.0
    before = await state()
    await asyncio.sleep(1.6)
    after = await state()
    speed = (after["position"] - before["position"]) / (after["time"] - before["time"])
    assert abs(speed - 1) < 0.15, f"the position counts output time, not {speed}"
    await player.clear_filters()
    track = "sim:Stroll?length=120"
    row(
        "L16",
        {"frozen": frozen, "speed": round(speed)},
        logged=[{"kind": "track_start", "guild": guild, "track": track}],
        heard={
            "guild": guild,
            "segments": [
                {"track": track, "position_from_ms": {"least": 39_900, "most": 40_100}},
                {"track": track, "lasts": {"least": 1_000, "most": 3_500}, "covers": {"least": 2_000, "most": 7_000}},
            ],
        },
    )


async def tracks(library, player, guild):
    node = player.node
    now = (await node.get_player(guild))["track"]["encoded"]
    decoded = await node.decode_track(now)
    assert decoded.title == "Stroll" and decoded.position >= 40_000, (decoded.title, decoded.position)
    row(
        "L17",
        {"title": decoded.title, "position": decoded.position},
        counted={"lavalink": {"GET /v4/decodetrack": {"least": 1}}},
    )
    found = await node.get_tracks("sim:Next?length=120")
    await player.play(found.tracks[0])
    end = (await until("the end", lambda: library.of(lavalink.TrackEndEvent)))[0]
    assert end.reason == lavalink.EndReason.REPLACED
    stats = await node.get_stats()
    assert (stats["players"], stats["playingPlayers"]) == (1, 1), stats
    row("L21", {"players": 1, "playing": 1}, counted={"lavalink": {"GET /v4/stats": {"least": 1}}})
    row(
        "L15",
        {"reason": end.reason.name},
        logged=[
            {"kind": "track_end", "guild": guild, "reason": "replaced", "track": "sim:Stroll?length=120"},
            {"kind": "track_start", "guild": guild, "track": "sim:Next?length=120"},
        ],
    )


async def resumed(library, node, guild):
    session = node.session_id
    # Only a connection that is asked for carries the session's id; one that it makes by itself after a loss does not.
    await node.connect(force=True)
    ready = (await until("a second ready", lambda: library.of(lavalink.NodeReadyEvent)[1:]))[0]
    assert (ready.resumed, ready.session_id) == (True, session), (ready.resumed, ready.session_id)
    paused = {"kind": "node_session_paused", "node": "a", "session": session}
    back = {"kind": "node_session_resumed", "node": "a", "session": session}
    row("L7", {"session": session, "resumed": ready.resumed}, logged=[paused, back])
    await fault("lose_resume", node="a", times=1, for_ms=5_000)
    await node.connect(force=True)
    lost = (await until("a third ready", lambda: library.of(lavalink.NodeReadyEvent)[2:]))[0]
    assert not lost.resumed and lost.session_id != session
    row(
        "N3",
        {"wanted": session, "got": lost.session_id},
        logged=[paused, back, paused, {"kind": "node_session_open", "node": "a", "session": lost.session_id}],
    )


async def node_lost(library, player, guild):
    other = library.node("b")
    await until("the other node", lambda: other.available)
    await fault("kill_node", node="a")
    await until("the player on the other node", lambda: player.node is other)

    async def heard():
        seen = await audio(guild)
        return seen["playing"] and seen["segments"][-1]["node"] == "b"

    await until("music from the other node", heard)
    gone = library.of(lavalink.NodeDisconnectedEvent)[-1]
    row(
        "L20",
        {"node": gone.node.name, "moved": player.node.name},
        logged=[{"kind": "node_down", "node": "a"}, {"kind": "frames_begin", "guild": guild, "node": "b"}],
        heard={"guild": guild, "segments": [{"node": "b", "track": "sim:Next?length=120"}]},
    )


async def deleted(library, player, guild):
    node, session = player.node, player.node.session_id
    assert await node.destroy_player(guild)
    assert await node.destroy_player(guild)
    gone = {"kind": "node_rest", "node": "b", "session": session, "guild": guild, "route": "DELETE " + PLAYER, "status": 204}
    row("L19", {"twice": True}, logged=[gone, gone])


logging.disable(logging.CRITICAL)
asyncio.run(main())
