# A quiet evening: people come, listen, change their minds and go. Nothing breaks.
# Three people live in each guild: users 1 to 3 in the first, 4 to 6 in the second, and so on.

at 3s     note "a quiet evening"
at 5s     user 2 joins
at 8s     user 2 runs /play query="sim:Blue Hour?length=56" when=next
at 14s    user 5 joins
at 18s    user 5 presses pause
at 22s    user 5 presses resume
at 26s    user 4 runs /volume level=80
at 32s    user 1 runs /skip
at 38s    user 8 joins
at 44s    user 7 runs /shuffle
at 50s    user 8 leaves
at 55s    user 4 runs /seek position=0:30
at 1m2s   user 2 runs /queue
at 1m10s  user 10 runs /pause
at 1m20s  user 10 runs /resume
at 1m30s  user 2 leaves
