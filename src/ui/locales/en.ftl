# What Segue says in English. One line per message; the same keys and variables in every language.

untitled = untitled
live = live

button-previous = Back
button-pause = Pause
button-resume = Resume
button-skip = Skip
button-stop = Stop
button-loop = Repeat
button-shuffle = Shuffle
button-queue = Queue
button-quieter = Quieter
button-louder = Louder
button-page-back = Previous page
button-page-on = Next page

loop-off = off
loop-track = this track
loop-queue = the queue

now-playing = Now playing
now-paused = Paused
now-waiting = Just a moment
now-asked = Asked for by { $user }
now-next = Next: { $title }
now-hint-waiting = The sound comes back by itself, no need to do anything.
now-hint-restored = I was interrupted. Press **Resume** and it goes on right here.
now-hint-kept = I kept your place. Join a voice channel and press **Resume**.
now-footer = Volume { $volume }% · Repeat: { $loop } · { $count ->
    [0] nothing queued
    [one] one track queued
   *[other] { $count } tracks queued
}
nothing-plays = Nothing is playing
nothing-plays-hint = Start something with `/play`.

queue-title = Queue
queue-empty = Nothing is queued. Add something with `/play`.
queue-now = Now: { $track }
queue-footer = Page { $page } of { $pages } · { $count ->
    [one] one track
   *[other] { $count } tracks
} · { $length }
queue-footer-live = { $count } live

done-playing = ▶️ Playing **{ $title }** ({ $length }).
done-queued = Added **{ $title }** ({ $length }) at place { $place } of the queue.
done-list = Added { $count ->
    [one] one track
   *[other] { $count } tracks
} from { $list }, starting with **{ $title }**.
done-list-unnamed = the list
done-left-out = { $count ->
    [one] One more did not fit:
   *[other] { $count } more did not fit:
} the queue holds { $limit }.
done-paused = ⏸️ Paused **{ $title }** at { $at }.
done-resumed = ▶️ **{ $title }** goes on at { $at }.
done-skipped = ⏭️ On to **{ $title }**.
done-skipped-end = ⏭️ Skipped. That was the last track; add more with `/play`.
done-stopped = ⏹️ Stopped. { $count ->
    [0] The queue was empty already.
    [one] One track was dropped from the queue.
   *[other] { $count } tracks were dropped from the queue.
}
done-sought = Now at { $at }.
volume-is = 🔊 Volume: { $level }%.
done-loop = 🔁 Repeat: { $loop }.
done-shuffled = 🔀 Mixed { $count ->
    [one] one track
   *[other] { $count } tracks
}.
done-removed = Removed **{ $title }**.
done-removed-many = Removed { $count } tracks, starting with **{ $title }**.
done-moved = **{ $title }** is now at place { $place }.
done-cleared = { $count ->
    [one] One track
   *[other] { $count } tracks
} removed. The queue is empty.
done-joined = I'm in { $channel }.
done-left = I left { $channel }.
done-left-kept = The queue is kept ({ $count ->
    [one] one track
   *[other] { $count } tracks
}).
done-auto-resume-on = From now on I go on by myself after an interruption.
done-auto-resume-off = From now on I wait for **Resume** after an interruption.
done-already = That is done already.

refuse-nothing-plays = Nothing is playing. Start something with `/play`.
refuse-queue-empty = The queue is empty. Add something with `/play`.
refuse-no-previous = There is no track before this one.
refuse-no-such-place = There is no place { $asked }: the queue has { $count ->
    [one] one track
   *[other] { $count } tracks
}. See `/queue`.
refuse-queue-full = The queue is full ({ $limit } tracks). Make room with `/remove` or `/clear`.
refuse-not-seekable = I can't jump around in this one: it is live, or its source does not allow it.
refuse-past-end = That is past the end: the track is { $length } long.
refuse-already-paused = It is paused already. `/resume` goes on.
refuse-not-paused = It is playing already.
refuse-not-in-voice = I'm in no voice channel. Join one and use `/play` or `/join`.
refuse-you-are-not-in-voice = Join a voice channel first, then try again.
refuse-other-channel = I'm playing in { $channel }. Join me there, or wait until it is over.
refuse-bad-volume = The volume goes from 0 to { $limit }.

misread-not-in-guild = I only play on servers. Use this in a server where I am a member.
misread-outdated = I was updated and don't know this command in that form. Reload Discord (Ctrl+R) and try again.
misread-stale-button = This button is from an older version of me. Use `/nowplaying` for fresh ones.
misread-malformed = I did not understand that. Please try again.
misread-missing = `{ $option }` is missing. Fill it in and try again.
misread-out-of-range = `{ $option }` goes from { $from } to { $to }.
misread-too-long = `{ $option }` is too long: { $limit } characters at most.
misread-position = I can't read that position. Write for example `1:23`, `83` or `1m23s`.
misread-query-empty = What shall I play? Give me a link or a few words.
misread-link-malformed = That link is broken. Copy it again, or search with a few words.
misread-link-scheme = I only open links that begin with `https://` or `http://`.
misread-link-userinfo = That link has a user name or a password in it, so I won't open it. Use a link without them.
misread-link-private = That link leads into a private network, so I won't open it. Use a public link.
misread-link-odd = That link hides its address in numbers, so I won't open it. Use the site's name.

notice-restored = I was interrupted. **{ $title }** goes on at { $at }.
notice-restored-paused = I was interrupted. **{ $title }** waits at { $at }: press **Resume** to go on.
notice-kept = I kept **{ $title }** at { $at } and the queue. Join a voice channel and press **Resume** to go on.
notice-paused = **{ $title }** is still paused at { $at }, as you left it. Press **Resume** to go on.
notice-restore-failed = I could not bring the music back. { $reason } Nothing is lost: press **Resume** to try again.
notice-track-failed = **{ $title }** could not be played, so I skipped it.
notice-left-empty = Nobody was left in { $channel }, so I went too. The queue is kept: come back and press **Resume**.
notice-no-node = No audio server can be reached. I go on by myself as soon as one is back.
notice-kicked = Somebody disconnected me. The queue is kept: press **Resume** to go on.

fail-channel-gone = The voice channel is gone. Join another one.
fail-cannot-view = I can't see the voice channel. Give me **View Channel** there.
fail-cannot-connect = I may not join the voice channel. Give me **Connect** there.
fail-cannot-speak = I may not speak in the voice channel. Give me **Speak** there.
fail-channel-full = The voice channel is full. Make room for one more.
fail-no-answer = Discord did not let me in. Give it a minute.
fail-node-refused = The audio server did not take over. Give it a minute.

settings-title = Settings of this server
settings-auto-resume = Go on after an interruption
settings-on = yes
settings-off = no, wait for Resume
settings-chosen = { $value } (chosen here)
settings-default = { $value } (default)
settings-hint = Change it with `/settings auto-resume`.

trouble-store-down = I can't reach my memory, so nothing was changed. Try again in a moment.
trouble-not-saved-yet = This is **not saved yet**, because I can't reach my memory. Look with `/nowplaying` in a moment whether it holds.
trouble-node-down = No audio server can be reached right now. Try again in a minute.
trouble-too-late = That took too long, so I did nothing. Please try again.
trouble-nothing-found = I found nothing for **{ $query }**. Try other words or a link.
trouble-load-failed = I found it but could not load it. It may be private or blocked; try another one.
trouble-cannot-join = I can't play in { $channel }. { $reason }
trouble-voice-unknown = Discord is slow to tell me which voice channel you are in, so I did nothing. Try again in a moment.
trouble-not-voice = { $channel } is no voice channel. Choose one, or join one and leave the option out.
trouble-left-guild = I'm no longer a member of this server. Invite me again first.
trouble-busy = That was a lot at once. Wait a few seconds and try again.
trouble-moving = This server is just being handed over to another copy of me. Try again in a few seconds.
trouble-interrupted = I was interrupted and could not finish this. Please ask again.
trouble-internal = Something went wrong on my side, and it is noted. Please try again.
