{{/* The bot's pod, below `spec`. */}}
{{- define "segue.bot.pod" -}}
serviceAccountName: {{ include "segue.serviceAccountName" . }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- include "segue.pullSecrets" . }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.initContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: segue
    {{- include "segue.bot.container" . | nindent 4 }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- include "segue.bot.volumes" . }}
{{- include "segue.bot.machines" . }}
{{- include "segue.bot.spread" . }}
{{- end -}}

{{/* Its volumes, the doctor's too: a certificate that one trusts must be there for the other. */}}
{{- define "segue.bot.volumes" }}
volumes:
  - name: config
    configMap:
      name: {{ include "segue.fullname" . }}
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where the container sees them. */}}
{{- define "segue.bot.mounts" }}
volumeMounts:
  - {name: config, mountPath: /etc/segue, readOnly: true}
  - {name: tmp, mountPath: /tmp}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The bot's container without its name. */}}
{{- define "segue.bot.container" -}}
image: {{ include "segue.image" (dict "root" . "image" .Values.image) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [run]
env:
  {{- include "segue.env" . | trim | nindent 2 }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: 8080
  - name: peer
    containerPort: 7946
# It waits for the store and for who the bot is. With many shards to a Discord that lets in few there is no hurry either: to end
# a pod only begins the same again.
startupProbe:
  httpGet: {path: /startupz, port: http}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: {{ max 300 (add 30 (mul 3 (int (default 0 (ternary 0 .Values.config.shards (kindIs "string" .Values.config.shards)))))) }}
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 2
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
{{- if gt (int .Values.drain.preStopSleepSeconds) 0 }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .Values.drain.preStopSleepSeconds }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- include "segue.bot.mounts" . }}
{{- end -}}

{{/* Which machines the bot and the doctor may run on. */}}
{{- define "segue.bot.machines" -}}
{{- with include "segue.texts" .Values.nodeSelector }}
nodeSelector:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* How the bot's pods lie to each other and to others. */}}
{{- define "segue.bot.spread" -}}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- if .Values.topologySpreadConstraints }}
  {{- toYaml .Values.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [controller-revision-hash]
    labelSelector:
      matchLabels:
        {{- include "segue.selector" (dict "root" $ "component" "bot") | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end -}}
