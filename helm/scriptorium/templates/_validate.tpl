{{/*
What the schema cannot say: settings without which nothing would run. All complaints at once, and none repeats a URL, since
there may be a password in it.
*/}}
{{- define "scriptorium.validate" -}}
{{- $wrong := list -}}
{{- $values := .Values -}}
{{- if not $values.image.repository -}}
{{- $wrong = append $wrong "image.repository is not set: build the image by deploy/Dockerfile, push it to your registry, and put its name here" -}}
{{- end -}}
{{- range $service := list
  (dict "name" "amqp" "what" "RabbitMQ" "pattern" "^amqps?://[^/]+" "form" "amqps://user:password@host:5671/vhost")
  (dict "name" "redis" "what" "Redis" "pattern" "^rediss?://[^/]+" "form" "rediss://:password@host:6379/0") -}}
{{- $set := index $values $service.name -}}
{{- if and $set.url $set.existingSecret.name -}}
{{- $wrong = append $wrong (printf "%s.url and %s.existingSecret.name are both set: keep one" $service.name $service.name) -}}
{{- else if not (or $set.url $set.existingSecret.name) -}}
{{- $wrong = append $wrong (printf "%s.url is not set: where %s is, as %s; or name a Secret with it in %s.existingSecret.name" $service.name $service.what $service.form $service.name) -}}
{{- else if and $set.url (not (regexMatch $service.pattern $set.url)) -}}
{{- $wrong = append $wrong (printf "%s.url must have the form %s" $service.name $service.form) -}}
{{- end -}}
{{- end -}}
{{- if not $values.s3.bucket -}}
{{- $wrong = append $wrong "s3.bucket is not set: the bucket for recordings and transcripts" -}}
{{- end -}}
{{- if ne (empty $values.s3.accessKeyId) (empty $values.s3.secretAccessKey) -}}
{{- $wrong = append $wrong "of s3.accessKeyId and s3.secretAccessKey only one is set: set both, or neither to use the pod's own identity" -}}
{{- end -}}
{{- if and $values.s3.accessKeyId $values.s3.existingSecret.name -}}
{{- $wrong = append $wrong "s3.accessKeyId and s3.existingSecret.name are both set: keep one" -}}
{{- end -}}
{{- $llmKey := or $values.llm.apiKey $values.llm.existingSecret.name -}}
{{- if and $values.llm.baseUrl (not $values.llm.model) -}}
{{- $wrong = append $wrong "llm.baseUrl without llm.model: say which model of the service is to correct the text" -}}
{{- end -}}
{{- if and (or $llmKey $values.llm.model) (not $values.llm.baseUrl) -}}
{{- $wrong = append $wrong "llm.baseUrl is not set, but a model or a key for it is: where the language model's API is, as https://host/v1" -}}
{{- end -}}
{{- if and $values.llm.apiKey $values.llm.existingSecret.name -}}
{{- $wrong = append $wrong "llm.apiKey and llm.existingSecret.name are both set: keep one" -}}
{{- end -}}
{{- if and $values.sources.importPrefix (not $values.sources.importBucket) -}}
{{- $wrong = append $wrong "sources.importPrefix without sources.importBucket: name the bucket" -}}
{{- end -}}
{{- if and $values.sources.importBucket (eq $values.sources.importBucket $values.s3.bucket) -}}
{{- $wrong = append $wrong "sources.importBucket is s3.bucket: whoever may name a key could read what others have uploaded; take another bucket" -}}
{{- end -}}
{{- if and $values.gateway.ingress.enabled (not $values.gateway.ingress.hosts) -}}
{{- $wrong = append $wrong "gateway.ingress.enabled without gateway.ingress.hosts: name at least one host" -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThe chart cannot be installed like this:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
