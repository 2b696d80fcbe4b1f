{{/* Names and labels. `scriptorium.x` takes the root context, `scriptorium.role.x` (dict "root" $ "role" "worker"). */}}

{{- define "scriptorium.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 34 | trimSuffix "-" -}}
{{- end -}}

{{/* Cut at 34, so that the longest name made of it ("-coordinator", a ReplicaSet's hash, a pod's) fits into 63. */}}
{{- define "scriptorium.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 34 | trimSuffix "-" -}}
{{- else if contains (include "scriptorium.name" .) .Release.Name -}}
{{- .Release.Name | trunc 34 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "scriptorium.name" .) | trunc 34 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "scriptorium.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "scriptorium.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "scriptorium.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What never changes in the life of a release: selectors are immutable. */}}
{{- define "scriptorium.selectorLabels" -}}
app.kubernetes.io/name: {{ include "scriptorium.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "scriptorium.labels" -}}
{{ include "scriptorium.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "scriptorium.role.selectorLabels" -}}
{{ include "scriptorium.selectorLabels" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "scriptorium.role.labels" -}}
{{ include "scriptorium.labels" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "scriptorium.role.fullname" -}}
{{ include "scriptorium.fullname" .root }}-{{ .role }}
{{- end -}}
