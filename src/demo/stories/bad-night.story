# A bad night: what breaks, breaks. Listen to who notices.

at 3s     note "a bad night"
at 5s     kill node a
at 15s    start node a
at 20s    kill replica a
at 28s    user 4 runs /nowplaying
at 35s    drop shard 0 for 3s
at 45s    fault delay_rest route="POST /interactions" ms=800 for=10s
at 47s    user 1 runs /nowplaying
at 60s    move bot in guild 2 to voice 2
at 65s    expire session of shard 0
at 75s    restart node b for 3s
at 85s    fault voice_lost guild=1 code=4014
at 95s    kill replica a
at 105s   fault refuse_rest route="PATCH /channels" status=500 for=8s
at 115s   user 7 runs /nowplaying
