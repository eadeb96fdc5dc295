{{/*
What the schema cannot say, all of it at once: each line names the key and what to do.
*/}}
{{- define "segue.validate" -}}
{{- $wrong := concat (fromYamlArray (include "segue.validate.moved" .)) (fromYamlArray (include "segue.validate.needed" .)) (fromYamlArray (include "segue.validate.fits" .)) (fromYamlArray (include "segue.validate.config" .)) -}}
{{- if $wrong -}}
{{- fail (printf "\n\n%d thing(s) to correct in the values:\n  - %s\n" (len $wrong) (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* Keys that are not taken, though people write them, and what to write instead. The schema lets them through to here. */}}
{{- define "segue.validate.moved" -}}
{{- $moved := dict
  "replicas" "it is called replicaCount"
  "discord.token" "a token in values is kept by Helm for everybody to read; put it into a Secret and name that in discord.existingSecret"
  "mongodb.uri" "an address with a password in values is kept by Helm for everybody to read; put it into a Secret and name that in mongodb.existingSecret"
  "lavalink.password" "a password in values is kept by Helm for everybody to read; put it into a Secret and name that in lavalink.existingSecret"
  "lavalink.nodes" "it is called lavalink.external"
  "extraEnv" "it is called env, and is a map: env: {NAME: value}"
  "podDisruptionBudget.minAvailable" "it would stop node drains when few replicas are left; say podDisruptionBudget.maxUnavailable"
  "updateStrategy.rollingUpdate.maxUnavailable" "Kubernetes switched it off again; replicas are replaced one by one"
  "drain.timeoutSeconds" "the bot hands over within 45 s, always; say terminationGracePeriodSeconds to give it longer to end"
-}}
{{- range $path, $say := $moved -}}
{{- $at := $.Values -}}
{{- range splitList "." $path -}}
{{- $at = ternary (get (default (dict) $at) .) "" (and (kindIs "map" $at) (hasKey (default (dict) $at) .)) -}}
{{- end -}}
{{- if not (empty $at) }}
- {{ printf "%s: %s" $path $say | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "segue.validate.needed" -}}
{{- $secret := "kubectl -n %s create secret generic %s --from-literal=%s=…" -}}
{{- $make := printf $secret .Release.Namespace -}}
{{- if not .Values.discord.existingSecret }}
- {{ printf "discord.existingSecret: name the Secret with the bot's token; kubectl -n %s create secret generic segue-discord --from-literal=%s=…" .Release.Namespace .Values.discord.secretKey | quote }}
{{- end }}
{{- if and .Values.mongodb.bundled.enabled .Values.mongodb.existingSecret }}
- "mongodb.existingSecret: it says another MongoDB than mongodb.bundled.enabled does; give only one of them"
{{- else if not (or .Values.mongodb.bundled.enabled .Values.mongodb.existingSecret) }}
- {{ printf "mongodb.existingSecret: name the Secret with MongoDB's address; kubectl -n %s create secret generic segue-mongodb --from-literal=%s=mongodb://… (or mongodb.bundled.enabled=true for a trial)" .Release.Namespace .Values.mongodb.secretKey | quote }}
{{- end }}
{{- if not (or .Values.lavalink.enabled .Values.lavalink.external) }}
- "lavalink.external: name at least one node, or set lavalink.enabled=true to run Lavalink here; without one nothing can be played"
{{- end }}
{{- if and .Values.lavalink.enabled (not .Values.lavalink.existingSecret) }}
- {{ printf "lavalink.existingSecret: name the Secret with the nodes' password; kubectl -n %s create secret generic segue-lavalink --from-literal=%s=$(openssl rand -hex 24)" .Release.Namespace .Values.lavalink.secretKey | quote }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
- "serviceAccount.name: with serviceAccount.create=false, name one that is there"
{{- end }}
{{- end -}}

{{- define "segue.validate.fits" -}}
{{- $least := add .Values.drain.preStopSleepSeconds (include "segue.drainSeconds" .) (include "segue.endSeconds" .) -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $least) }}
- {{ printf "terminationGracePeriodSeconds: %d must be >= %d, which is drain.preStopSleepSeconds + 45 s to hand over + 15 s to end; else replicas are killed in the middle" (int .Values.terminationGracePeriodSeconds) (int $least) | quote }}
{{- end }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "segue.fullname" .)) }}
- {{ printf "fullnameOverride: the name %s is none for a Service; set one of small letters, digits and hyphens that begins with a letter" (include "segue.fullname" . | trunc 60) | quote }}
{{- end }}
{{- if gt (len (include "segue.fullname" .)) 43 }}
- {{ printf "fullnameOverride: the name %s has %d characters, 43 fit; set a shorter one" (include "segue.fullname" . | trunc 60) (len (include "segue.fullname" .)) | quote }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
- "autoscaling.minReplicas: it is more than autoscaling.maxReplicas"
{{- end }}
{{- $names := list -}}
{{- range .Values.lavalink.external }}
{{- if or (has .name $names) (and $.Values.lavalink.enabled (hasPrefix "lavalink-" .name)) }}
- {{ printf "lavalink.external: two nodes would be called %s; give each a name of its own" .name | quote }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- range $name, $value := .Values.env }}
{{- $base := trimSuffix "_FILE" $name }}
{{- if or (hasPrefix "SEGUE_" $name) (has $base (list "DISCORD_TOKEN" "MUSIC_AUTO_RESUME")) }}
- {{ printf "env.%s: %s" $name (include "segue.validate.env" $base) | quote }}
{{- else if has $name (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_PROTOCOL" "OTEL_EXPORTER_OTLP_HEADERS" "OTEL_RESOURCE_ATTRIBUTES" "OTEL_TRACES_SAMPLER" "OTEL_TRACES_SAMPLER_ARG") }}
- {{ printf "env.%s: say it under otel instead" $name | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Settings that the chart says itself, by their names in the bot's file. */}}
{{- define "segue.validate.config" -}}
{{- range $name, $value := .Values.config }}
{{- if hasPrefix "otel_" $name }}
- {{ printf "config.%s: say it under otel, or what is not there as env.%s" $name (upper $name) | quote }}
{{- else if has $name (list "discord_token" "store" "lavalink_nodes" "name" "lease" "http_listen" "peer_listen" "peer_advertise") }}
- {{ printf "config.%s: %s" $name (include "segue.validate.env" (ternary "DISCORD_TOKEN" (printf "SEGUE_%s" (upper $name)) (eq $name "discord_token"))) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where a setting belongs that somebody wrote as a variable. */}}
{{- define "segue.validate.env" -}}
{{- if eq . "DISCORD_TOKEN" -}}say discord.existingSecret instead
{{- else if eq . "SEGUE_STORE" -}}say mongodb.existingSecret instead
{{- else if eq . "SEGUE_LAVALINK_NODES" -}}say lavalink.external instead
{{- else if has . (list "SEGUE_CONFIG" "SEGUE_NAME" "SEGUE_LEASE" "SEGUE_HTTP_LISTEN" "SEGUE_PEER_LISTEN" "SEGUE_PEER_ADVERTISE") -}}the chart decides it; leave it out
{{- else -}}say config.{{ trimPrefix "SEGUE_" . | lower }} instead
{{- end -}}
{{- end -}}
