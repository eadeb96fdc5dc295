{{/*
The environment of the bot: one map, so that no name stands twice (Helm 4 refuses that), then a list in which what others
refer to by $(NAME) stands first, since Kubernetes fills in only what came before.
*/}}
{{- define "segue.env" -}}
{{- $field := dict -}}
{{- range $name, $path := dict "POD_NAME" "metadata.name" "POD_NAMESPACE" "metadata.namespace" "POD_UID" "metadata.uid" "POD_IP" "status.podIP" "NODE_NAME" "spec.nodeName" -}}
{{- $_ := set $field $name (dict "valueFrom" (dict "fieldRef" (dict "apiVersion" "v1" "fieldPath" $path))) -}}
{{- end -}}
{{- $built := merge $field (fromYaml (include "segue.env.own" .)) (fromYaml (include "segue.env.otel" .)) -}}
{{- include "segue.env.list" (dict "built" $built "told" .Values.env) -}}
{{- end -}}

{{/*
(dict "built" … "told" …): what is told wins over what is built in, one by one, since a merge takes empty text and null for
nothing said. As a list: what comes from elsewhere first, then texts. A null takes a variable away.
*/}}
{{- define "segue.env.list" -}}
{{- $all := deepCopy .built -}}
{{- range $name, $value := .told }}{{ $_ := set $all $name $value }}{{ end -}}
{{- range $name, $value := $all }}
{{- if kindIs "map" $value }}
- name: {{ $name }}
  {{- toYaml $value | nindent 2 }}
{{- end }}
{{- end }}
{{- range $name, $value := $all }}
{{- if not (or (kindIs "map" $value) (kindIs "invalid" $value)) }}
- name: {{ $name }}
  value: {{ include "segue.text" $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "segue.env.secret" -}}
valueFrom:
  secretKeyRef:
    name: {{ .name }}
    key: {{ .key | quote }}
{{- end -}}

{{/* Token, store and nodes. */}}
{{- define "segue.env.own" -}}
{{- $nodes := list -}}
SEGUE_CONFIG: /etc/segue/segue.toml
SEGUE_LEASE: {{ include "segue.fullname" . }}
DISCORD_TOKEN:
  {{- include "segue.env.secret" (dict "name" .Values.discord.existingSecret "key" .Values.discord.secretKey) | nindent 2 }}
{{- if .Values.mongodb.bundled.enabled }}
SEGUE_STORE: mongodb://{{ include "segue.mongodb.host" . }}:27017/segue?replicaSet=rs0
{{- else }}
SEGUE_STORE:
  {{- include "segue.env.secret" (dict "name" .Values.mongodb.existingSecret "key" .Values.mongodb.secretKey) | nindent 2 }}
{{- end }}
{{- range $at, $node := .Values.lavalink.external }}
{{- $variable := printf "LAVALINK_PASSWORD_%d" $at }}
{{ $variable }}:
  {{- include "segue.env.secret" (dict "name" $node.existingSecret "key" (default "password" $node.secretKey)) | nindent 2 }}
{{- $nodes = append $nodes (printf "%s=%s" $node.name (regexReplaceAll "^(https?://)" $node.url (printf "${1}:$(%s)@" $variable))) }}
{{- end }}
{{- if .Values.lavalink.enabled }}
LAVALINK_PASSWORD:
  {{- include "segue.env.secret" (dict "name" .Values.lavalink.existingSecret "key" .Values.lavalink.secretKey) | nindent 2 }}
{{- $name := include "segue.lavalink.fullname" . }}
{{- range $at := until (int .Values.lavalink.replicas) }}
{{- $nodes = append $nodes (printf "lavalink-%d=http://:$(LAVALINK_PASSWORD)@%s-%d.%s.%s.svc:2333" $at $name $at $name $.Release.Namespace) }}
{{- end }}
{{- end }}
SEGUE_LAVALINK_NODES: {{ join "," $nodes | quote }}
{{- end -}}

{{/* Traces, when they are sent anywhere. */}}
{{- define "segue.env.otel" -}}
{{- with .Values.otel }}
{{- if .endpoint }}
{{- $attributes := dict "k8s.namespace.name" "$(POD_NAMESPACE)" "k8s.pod.name" "$(POD_NAME)" "k8s.pod.uid" "$(POD_UID)" "k8s.node.name" "$(NODE_NAME)" "k8s.container.name" "segue" "k8s.statefulset.name" (include "segue.fullname" $) "service.namespace" $.Release.Namespace }}
{{- $pairs := list }}
{{- range $name, $value := merge (fromYaml (include "segue.texts" .resourceAttributes)) $attributes }}
{{- $pairs = append $pairs (printf "%s=%s" $name $value) }}
{{- end }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ .endpoint | quote }}
OTEL_EXPORTER_OTLP_PROTOCOL: {{ .protocol | quote }}
OTEL_RESOURCE_ATTRIBUTES: {{ join "," $pairs | quote }}
OTEL_SERVICE_NAME: segue
OTEL_TRACES_SAMPLER: {{ .sampler | quote }}
OTEL_TRACES_SAMPLER_ARG: {{ .samplerArg | toString | quote }}
{{- if .existingSecret }}
OTEL_EXPORTER_OTLP_HEADERS:
  {{- include "segue.env.secret" (dict "name" .existingSecret "key" .secretKey) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
