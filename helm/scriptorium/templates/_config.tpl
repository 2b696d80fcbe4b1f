{{/*
What a role is told, as YAML: variable: value. Precedence: config < the role's config < values with a name of their own
(the schema refuses the latter's variables in the former).
*/}}
{{- define "scriptorium.role.config" -}}
{{- $values := .root.Values -}}
{{- $set := index $values .role -}}
{{- $own := include "scriptorium.commonConfig" .root | fromYaml -}}
{{- $_ := set $own "SCRIPTORIUM_OPS_LISTEN" (printf "0.0.0.0:%s" (include "scriptorium.opsPort" .root)) -}}
{{- $_ := set $own "SCRIPTORIUM_DRAIN_SECONDS" $set.drainSeconds -}}
{{- if eq .role "gateway" -}}
{{- $_ := set $own "SCRIPTORIUM_LISTEN" (printf "0.0.0.0:%s" (include "scriptorium.httpPort" .root)) -}}
{{- $_ := set $own "SCRIPTORIUM_ALLOW_UNAUTHENTICATED" $set.allowUnauthenticated -}}
{{- $_ := set $own "SCRIPTORIUM_ALLOW_LLM" (not (empty $values.llm.baseUrl)) -}}
{{- with $values.s3.publicEndpoint -}}
{{- $_ := set $own "SCRIPTORIUM_S3_PUBLIC_ENDPOINT" . -}}
{{- end -}}
{{- else if eq .role "worker" -}}
{{- $_ := set $own "SCRIPTORIUM_MODEL" $set.model.name -}}
{{- $_ := set $own "SCRIPTORIUM_WORKERS" $set.slots -}}
{{- $_ := set $own "SCRIPTORIUM_PART_SECONDS" $set.partSeconds -}}
{{- /* A model in the image: the image itself says where. */ -}}
{{- if or $set.model.existingClaim $set.model.fetchImage -}}
{{- $_ := set $own "SCRIPTORIUM_MODELS_DIR" (include "scriptorium.modelsDir" .root) -}}
{{- end -}}
{{- else if eq .role "coordinator" -}}
{{- $_ := set $own "SCRIPTORIUM_SWEEP_INTERVAL_SECONDS" $set.sweepIntervalSeconds -}}
{{- end -}}
{{- /* Who looks at addresses, and who fetches. */ -}}
{{- if ne .role "worker" -}}
{{- $_ := set $own "SCRIPTORIUM_SOURCE_FETCHES" $values.sources.fetches -}}
{{- $_ := set $own "SCRIPTORIUM_SOURCE_ALLOW_PRIVATE" $values.sources.allowPrivate -}}
{{- with $values.sources.importBucket -}}
{{- $_ := set $own "SCRIPTORIUM_IMPORT_BUCKET" . -}}
{{- end -}}
{{- with $values.sources.importPrefix -}}
{{- $_ := set $own "SCRIPTORIUM_IMPORT_PREFIX" . -}}
{{- end -}}
{{- end -}}
{{- /* Who calls the language model. */ -}}
{{- if and $values.llm.baseUrl (ne .role "gateway") -}}
{{- $_ := set $own "SCRIPTORIUM_LLM_BASE_URL" $values.llm.baseUrl -}}
{{- $_ := set $own "SCRIPTORIUM_LLM_MODEL" $values.llm.model -}}
{{- end -}}
{{- /* Not `merge`: it takes false and 0 for values that are not there. */ -}}
{{- $config := dict -}}
{{- range $layer := list $values.config $set.config $own -}}
{{- range $key, $value := $layer -}}
{{- $_ := set $config $key $value -}}
{{- end -}}
{{- end -}}
{{- include "scriptorium.strings" $config -}}
{{- end -}}

{{/* What the bucket's Job needs too. */}}
{{- define "scriptorium.commonConfig" -}}
SCRIPTORIUM_LOG: {{ .Values.log.filter | quote }}
SCRIPTORIUM_LOG_FORMAT: {{ .Values.log.format | quote }}
SCRIPTORIUM_S3_BUCKET: {{ .Values.s3.bucket | quote }}
SCRIPTORIUM_S3_REGION: {{ .Values.s3.region | quote }}
{{- with .Values.s3.endpoint }}
SCRIPTORIUM_S3_ENDPOINT: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Numbers in values are floats: 1000000 must not become 1e+06. */}}
{{- define "scriptorium.strings" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value | int64 | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- define "scriptorium.httpPort" -}}8787{{- end -}}
{{- define "scriptorium.opsPort" -}}9090{{- end -}}
{{- define "scriptorium.modelsDir" -}}/models{{- end -}}

{{/* What goes into the chart's own Secret, as YAML; empty if nothing does. */}}
{{- define "scriptorium.secretData" -}}
{{- with .Values.amqp.url }}
SCRIPTORIUM_AMQP_URL: {{ . | quote }}
{{- end }}
{{- with .Values.redis.url }}
SCRIPTORIUM_REDIS_URL: {{ . | quote }}
{{- end }}
{{- with .Values.s3.accessKeyId }}
AWS_ACCESS_KEY_ID: {{ . | quote }}
{{- end }}
{{- with .Values.s3.secretAccessKey }}
AWS_SECRET_ACCESS_KEY: {{ . | quote }}
{{- end }}
{{- with .Values.llm.apiKey }}
SCRIPTORIUM_LLM_API_KEY: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Each by its own reference: a key that is missing in a Secret then shows in the pod's events, by name. */}}
{{- define "scriptorium.secretEnv" -}}
{{- $own := include "scriptorium.fullname" . -}}
- name: SCRIPTORIUM_AMQP_URL
  valueFrom:
    secretKeyRef:
      name: {{ default $own .Values.amqp.existingSecret.name }}
      key: {{ ternary .Values.amqp.existingSecret.key "SCRIPTORIUM_AMQP_URL" (not (empty .Values.amqp.existingSecret.name)) }}
- name: SCRIPTORIUM_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ default $own .Values.redis.existingSecret.name }}
      key: {{ ternary .Values.redis.existingSecret.key "SCRIPTORIUM_REDIS_URL" (not (empty .Values.redis.existingSecret.name)) }}
{{ include "scriptorium.s3Env" . }}
{{- end -}}

{{- define "scriptorium.s3Env" -}}
{{- $secret := .Values.s3.existingSecret -}}
{{- if or $secret.name .Values.s3.accessKeyId -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ default (include "scriptorium.fullname" .) $secret.name }}
      key: {{ ternary $secret.accessKeyIdKey "AWS_ACCESS_KEY_ID" (not (empty $secret.name)) }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ default (include "scriptorium.fullname" .) $secret.name }}
      key: {{ ternary $secret.secretAccessKeyKey "AWS_SECRET_ACCESS_KEY" (not (empty $secret.name)) }}
{{- end -}}
{{- end -}}

{{/* The key of the language model, for the roles that call it; empty if it wants none. */}}
{{- define "scriptorium.llmEnv" -}}
{{- $secret := .Values.llm.existingSecret -}}
{{- if or $secret.name .Values.llm.apiKey -}}
- name: SCRIPTORIUM_LLM_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ default (include "scriptorium.fullname" .) $secret.name }}
      key: {{ ternary $secret.key "SCRIPTORIUM_LLM_API_KEY" (not (empty $secret.name)) }}
{{- end -}}
{{- end -}}
