# Was Segue auf Deutsch sagt. Eine Zeile je Meldung; dieselben Schlüssel und Variablen wie in jeder anderen Sprache.

untitled = ohne Titel
live = live

button-previous = Zurück
button-pause = Pause
button-resume = Weiter
button-skip = Überspringen
button-stop = Stopp
button-loop = Wiederholen
button-shuffle = Mischen
button-queue = Warteschlange
button-quieter = Leiser
button-louder = Lauter
button-page-back = Vorige Seite
button-page-on = Nächste Seite

loop-off = aus
loop-track = dieser Titel
loop-queue = die Warteschlange

now-playing = Jetzt läuft
now-paused = Angehalten
now-waiting = Einen Moment
now-asked = Gewünscht von { $user }
now-next = Danach: { $title }
now-hint-waiting = Der Ton kommt von selbst zurück, du musst nichts tun.
now-hint-restored = Ich wurde unterbrochen. Drück **Weiter**, dann geht es genau hier weiter.
now-hint-kept = Ich habe mir die Stelle gemerkt. Geh in einen Sprachkanal und drück **Weiter**.
now-footer = Lautstärke { $volume } % · Wiederholen: { $loop } · { $count ->
    [0] nichts in der Warteschlange
    [one] ein Titel in der Warteschlange
   *[other] { $count } Titel in der Warteschlange
}
nothing-plays = Gerade läuft nichts
nothing-plays-hint = Starte etwas mit `/play`.

queue-title = Warteschlange
queue-empty = Die Warteschlange ist leer. Füg etwas mit `/play` hinzu.
queue-now = Jetzt: { $track }
queue-footer = Seite { $page } von { $pages } · { $count ->
    [one] ein Titel
   *[other] { $count } Titel
} · { $length }
queue-footer-live = { $count } live

done-playing = ▶️ Es läuft **{ $title }** ({ $length }).
done-queued = **{ $title }** ({ $length }) steht auf Platz { $place } der Warteschlange.
done-list = { $count ->
    [one] Ein Titel
   *[other] { $count } Titel
} aus { $list } hinzugefügt, als Erstes **{ $title }**.
done-list-unnamed = der Liste
done-left-out = { $count ->
    [one] Einer passte nicht mehr hinein:
   *[other] { $count } passten nicht mehr hinein:
} Die Warteschlange fasst { $limit }.
done-paused = ⏸️ **{ $title }** ist bei { $at } angehalten.
done-resumed = ▶️ **{ $title }** läuft ab { $at } weiter.
done-skipped = ⏭️ Weiter mit **{ $title }**.
done-skipped-end = ⏭️ Übersprungen. Das war der letzte Titel; mehr gibt es mit `/play`.
done-stopped = ⏹️ Beendet. { $count ->
    [0] Die Warteschlange war schon leer.
    [one] Ein Titel wurde aus der Warteschlange entfernt.
   *[other] { $count } Titel wurden aus der Warteschlange entfernt.
}
done-sought = Jetzt bei { $at }.
volume-is = 🔊 Lautstärke: { $level } %.
done-loop = 🔁 Wiederholen: { $loop }.
done-shuffled = 🔀 { $count ->
    [one] Ein Titel
   *[other] { $count } Titel
} gemischt.
done-removed = **{ $title }** ist entfernt.
done-removed-many = { $count } Titel entfernt, als Erstes **{ $title }**.
done-moved = **{ $title }** steht jetzt auf Platz { $place }.
done-cleared = { $count ->
    [one] Ein Titel
   *[other] { $count } Titel
} entfernt. Die Warteschlange ist leer.
done-joined = Ich bin in { $channel }.
done-left = Ich habe { $channel } verlassen.
done-left-kept = Die Warteschlange bleibt erhalten ({ $count ->
    [one] ein Titel
   *[other] { $count } Titel
}).
done-auto-resume-on = Ab jetzt spiele ich nach einer Unterbrechung von selbst weiter.
done-auto-resume-off = Ab jetzt warte ich nach einer Unterbrechung auf **Weiter**.
done-already = Das ist schon erledigt.

refuse-nothing-plays = Gerade läuft nichts. Starte etwas mit `/play`.
refuse-queue-empty = Die Warteschlange ist leer. Füg etwas mit `/play` hinzu.
refuse-no-previous = Vor diesem Titel gab es keinen.
refuse-no-such-place = Platz { $asked } gibt es nicht: In der Warteschlange { $count ->
    [one] steht ein Titel
   *[other] stehen { $count } Titel
}. Sieh nach mit `/queue`.
refuse-queue-full = Die Warteschlange ist voll ({ $limit } Titel). Schaff Platz mit `/remove` oder `/clear`.
refuse-not-seekable = Hier lässt sich nicht spulen: Es ist live, oder die Quelle erlaubt es nicht.
refuse-past-end = Das liegt hinter dem Ende: Der Titel dauert { $length }.
refuse-already-paused = Es ist schon angehalten. Mit `/resume` geht es weiter.
refuse-not-paused = Es läuft schon.
refuse-not-in-voice = Ich bin in keinem Sprachkanal. Geh in einen und nimm `/play` oder `/join`.
refuse-you-are-not-in-voice = Geh zuerst in einen Sprachkanal und versuch es dann noch einmal.
refuse-other-channel = Ich spiele in { $channel }. Komm dorthin, oder warte, bis es vorbei ist.
refuse-bad-volume = Die Lautstärke geht von 0 bis { $limit }.

misread-not-in-guild = Ich spiele nur auf Servern. Benutz das auf einem Server, auf dem ich Mitglied bin.
misread-outdated = Ich wurde aktualisiert und kenne diesen Befehl so nicht. Lade Discord neu (Strg+R) und versuch es noch einmal.
misread-stale-button = Dieser Knopf stammt von einer älteren Version von mir. Neue gibt es mit `/nowplaying`.
misread-malformed = Das habe ich nicht verstanden. Versuch es bitte noch einmal.
misread-missing = `{ $option }` fehlt. Füll es aus und versuch es noch einmal.
misread-out-of-range = `{ $option }` geht von { $from } bis { $to }.
misread-too-long = `{ $option }` ist zu lang: höchstens { $limit } Zeichen.
misread-position = Diese Stelle kann ich nicht lesen. Schreib zum Beispiel `1:23`, `83` oder `1m23s`.
misread-query-empty = Was soll ich spielen? Gib mir einen Link oder ein paar Wörter.
misread-link-malformed = Dieser Link ist kaputt. Kopier ihn noch einmal, oder such mit ein paar Wörtern.
misread-link-scheme = Ich öffne nur Links, die mit `https://` oder `http://` beginnen.
misread-link-userinfo = In diesem Link steht ein Benutzername oder ein Passwort, deshalb öffne ich ihn nicht. Nimm einen Link ohne sie.
misread-link-private = Dieser Link führt in ein privates Netz, deshalb öffne ich ihn nicht. Nimm einen öffentlichen Link.
misread-link-odd = Dieser Link versteckt seine Adresse in Zahlen, deshalb öffne ich ihn nicht. Nimm den Namen der Seite.

notice-restored = Ich wurde unterbrochen. **{ $title }** läuft ab { $at } weiter.
notice-restored-paused = Ich wurde unterbrochen. **{ $title }** wartet bei { $at }: Drück **Weiter**, damit es weitergeht.
notice-kept = Ich habe mir **{ $title }** bei { $at } und die Warteschlange gemerkt. Geh in einen Sprachkanal und drück **Weiter**.
notice-paused = **{ $title }** ist noch bei { $at } angehalten, so wie du es verlassen hast. Drück **Weiter**, damit es weitergeht.
notice-restore-failed = Ich konnte die Musik nicht zurückholen. { $reason } Nichts ist verloren: Drück **Weiter** für einen neuen Versuch.
notice-track-failed = **{ $title }** ließ sich nicht abspielen, ich habe es übersprungen.
notice-left-empty = In { $channel } war niemand mehr, da bin ich auch gegangen. Die Warteschlange bleibt: Komm zurück und drück **Weiter**.
notice-no-node = Kein Audioserver ist erreichbar. Sobald einer zurück ist, spiele ich von selbst weiter.
notice-kicked = Jemand hat mich getrennt. Die Warteschlange bleibt: Drück **Weiter**, damit es weitergeht.

fail-channel-gone = Den Sprachkanal gibt es nicht mehr. Geh in einen anderen.
fail-cannot-view = Ich kann den Sprachkanal nicht sehen. Gib mir dort **Kanal ansehen**.
fail-cannot-connect = Ich darf den Sprachkanal nicht betreten. Gib mir dort **Verbinden**.
fail-cannot-speak = Ich darf im Sprachkanal nicht sprechen. Gib mir dort **Sprechen**.
fail-channel-full = Der Sprachkanal ist voll. Schaff Platz für noch einen.
fail-no-answer = Discord hat mich nicht hereingelassen. Warte eine Minute.
fail-node-refused = Der Audioserver hat nicht übernommen. Warte eine Minute.

settings-title = Einstellungen dieses Servers
settings-auto-resume = Nach einer Unterbrechung weiterspielen
settings-on = ja
settings-off = nein, auf „Weiter“ warten
settings-chosen = { $value } (hier gewählt)
settings-default = { $value } (Vorgabe)
settings-hint = Ändern mit `/settings auto-resume`.

trouble-store-down = Ich erreiche mein Gedächtnis nicht und habe nichts geändert. Versuch es gleich noch einmal.
trouble-not-saved-yet = Das ist **noch nicht gespeichert**, weil ich mein Gedächtnis nicht erreiche. Sieh gleich mit `/nowplaying` nach, ob es hält.
trouble-node-down = Gerade ist kein Audioserver erreichbar. Versuch es in einer Minute noch einmal.
trouble-too-late = Das hat zu lange gedauert, ich habe nichts getan. Versuch es bitte noch einmal.
trouble-nothing-found = Zu **{ $query }** habe ich nichts gefunden. Versuch andere Wörter oder einen Link.
trouble-load-failed = Ich habe es gefunden, konnte es aber nicht laden. Vielleicht ist es privat oder gesperrt; nimm etwas anderes.
trouble-cannot-join = In { $channel } kann ich nicht spielen. { $reason }
trouble-voice-unknown = Discord sagt mir gerade nicht, in welchem Sprachkanal du bist. Ich habe nichts getan; versuch es gleich noch einmal.
trouble-not-voice = { $channel } ist kein Sprachkanal. Wähl einen aus, oder geh in einen und lass die Angabe weg.
trouble-left-guild = Ich bin auf diesem Server kein Mitglied mehr. Lade mich zuerst wieder ein.
trouble-busy = Das war viel auf einmal. Warte ein paar Sekunden und versuch es noch einmal.
trouble-moving = Dieser Server wird gerade an eine andere Kopie von mir übergeben. Versuch es in ein paar Sekunden noch einmal.
trouble-interrupted = Ich wurde unterbrochen und konnte das nicht fertig machen. Frag bitte noch einmal.
trouble-internal = Bei mir ist etwas schiefgegangen, und es ist vermerkt. Versuch es bitte noch einmal.
