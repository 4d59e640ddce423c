{{- define "pgqueue.name" -}}
{{- printf "%s-pgqueue" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "pgqueue.labels" -}}
app.kubernetes.io/name: pgqueue
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "pgqueue.selector" -}}
app.kubernetes.io/name: pgqueue
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pgqueue.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* What all pods have: no privileges, a file system that is read only, and a place in memory for the password file. */}}
{{- define "pgqueue.podSecurity" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "pgqueue.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: ["ALL"]}
{{- end -}}

{{/* The environment of a login; takes a dict of root, user and logins, a list of user and secret. */}}
{{- define "pgqueue.environment" -}}
- name: PGQUEUE_DSN
  value: {{ printf "%s user=%s" .root.Values.database.dsn .user | quote }}
{{- with .root.Values.database.listenDsn }}
- name: PGQUEUE_LISTEN_DSN
  value: {{ printf "%s user=%s" . $.user | quote }}
{{- end }}
- name: PGPASSFILE
  value: /run/pgqueue/pgpass
- name: PGQUEUE_PASSWORD_FILES
  value: "{{ range $n, $login := .logins }}{{ if $n }} {{ end }}{{ $login.user }}=/run/secrets/pgqueue/{{ $n }}{{ end }}"
{{- end -}}

{{- define "pgqueue.mounts" -}}
- {name: run, mountPath: /run/pgqueue}
- {name: tmp, mountPath: /tmp}
- {name: passwords, mountPath: /run/secrets/pgqueue, readOnly: true}
{{- end -}}

{{- define "pgqueue.volumes" -}}
- name: run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
- name: passwords
  projected:
    defaultMode: 0440
    sources:
      {{- range $n, $login := .logins }}
      - secret:
          name: {{ $login.secret.name }}
          items: [{key: {{ $login.secret.key | quote }}, path: {{ $n | quote }}}]
      {{- end }}
{{- end -}}
