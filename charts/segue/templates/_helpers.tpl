{{/* The name of the release's objects. Long ones are refused in _validate.tpl, not cut: a cut name can meet another. */}}
{{- define "segue.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name -}}
{{- end -}}
{{- end -}}

{{- define "segue.lavalink.fullname" -}}{{ include "segue.fullname" . }}-lavalink{{- end -}}
{{- define "segue.mongodb.fullname" -}}{{ include "segue.fullname" . }}-mongodb{{- end -}}

{{/* What selects the pods of all parts. Never changes, since it cannot. */}}
{{- define "segue.release" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* What selects the pods of one part: (dict "root" $ "component" "bot"). Never changes, since it cannot. */}}
{{- define "segue.selector" -}}
{{ include "segue.release" .root }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of pods that have no part in the bot's releases, Lavalink and MongoDB: a version among them would restart these pods
with every release of the bot, though nothing of theirs changed. (dict "root" $ "component" "lavalink") */}}
{{- define "segue.podLabels" -}}
{{ include "segue.selector" . }}
app.kubernetes.io/part-of: segue
{{- end -}}

{{/* All labels of one part: (dict "root" $ "component" "bot"). */}}
{{- define "segue.labels" -}}
{{ include "segue.selector" . }}
app.kubernetes.io/part-of: segue
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Name, namespace and labels: (dict "root" $ "component" "bot" "name" "…"). */}}
{{- define "segue.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "segue.labels" . | nindent 2 }}
{{- end -}}

{{/* An image with its registry, tag or digest: (dict "root" $ "image" .Values.image). */}}
{{- define "segue.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- $name := ternary .image.repository (printf "%s/%s" $registry .image.repository) (empty $registry) -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "segue.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "segue.serviceAccountName" -}}
{{- default (ternary (include "segue.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Everything is handed over within this many seconds of SIGTERM, and the process ends within these more: constants of the
bot, not settings. */}}
{{- define "segue.drainSeconds" -}}45{{- end -}}
{{- define "segue.endSeconds" -}}15{{- end -}}

{{/* Port of an address: the one that is written, else the scheme's. */}}
{{- define "segue.portOf" -}}
{{- $written := regexFind ":[0-9]+(/|$)" (regexReplaceAll "^[a-z]+://" . "") | trimPrefix ":" | trimSuffix "/" -}}
{{- default (ternary "443" "80" (hasPrefix "https://" .)) $written -}}
{{- end -}}

{{/* A map of texts, such as labels. Kubernetes takes nothing but texts there, people write `gpu: true`: so each value becomes a
text, and null takes its key away. Nothing at all when nothing is left. */}}
{{- define "segue.texts" -}}
{{- $texts := dict -}}
{{- range $name, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $texts $name (include "segue.text" $value) }}{{ end -}}
{{- end -}}
{{- with $texts }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{/* Where names are asked for: ports of the cluster's DNS. */}}
{{- define "segue.dns" -}}
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/* Numbers from values arrive as floats; this writes whole ones without an exponent. */}}
{{- define "segue.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}
