# A rolling update: one replica after another is asked to leave and comes back, while people go on asking for things.

at 3s     note "a rolling update"
at 5s     roll replicas
at 6s     user 1 runs /nowplaying
at 9s     user 4 runs /nowplaying
at 12s    user 7 runs /volume level=90
at 15s    user 1 runs /skip
at 20s    user 10 runs /nowplaying
