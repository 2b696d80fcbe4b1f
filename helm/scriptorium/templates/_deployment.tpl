{{/* One role's Deployment: (dict "root" $ "role" "worker"). */}}
{{- define "scriptorium.role.deployment" -}}
{{- $values := .root.Values -}}
{{- $set := index $values .role -}}
{{- $preStop := int (default 0 $set.preStopSeconds) -}}
{{- $modelVolume := and (eq .role "worker") (or $set.model.existingClaim $set.model.fetchImage) -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "scriptorium.role.fullname" . }}
  labels:
    {{- include "scriptorium.role.labels" . | nindent 4 }}
spec:
  replicas: {{ $set.replicas }}
  selector:
    matchLabels:
      {{- include "scriptorium.role.selectorLabels" . | nindent 6 }}
  strategy:
    {{- toYaml $set.strategy | nindent 4 }}
  template:
    metadata:
      labels:
        {{- /* Without versions: a new chart with the same pods replaces none. */}}
        {{- toYaml (merge (include "scriptorium.role.selectorLabels" . | fromYaml) $set.podLabels) | nindent 8 }}
      annotations:
        {{- /* A changed setting changes the template, so that the pods are replaced; each role by its own settings only. */}}
        checksum/config: {{ include "scriptorium.role.config" . | sha256sum }}
        checksum/secret: {{ printf "%s\n%s" (include "scriptorium.secretData" .root) $values.secretsVersion | sha256sum }}
        {{- with $set.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "scriptorium.serviceAccountName" .root }}
      {{- /* No role talks to Kubernetes. Web identity has a token of its own. */}}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $set.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- toYaml $values.podSecurityContext | nindent 8 }}
      {{- /* More than draining may take, so that it ends by itself. */}}
      terminationGracePeriodSeconds: {{ add $preStop $set.drainSeconds $values.terminationMarginSeconds }}
      {{- if and $modelVolume $set.model.fetchImage }}
      initContainers:
        # Ends at once where the model is there already; several at a time may fill the same volume.
        - name: model
          image: {{ $set.model.fetchImage }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: [{{ $set.model.name | quote }}]
          env:
            - name: SCRIPTORIUM_MODELS_DIR
              value: {{ include "scriptorium.modelsDir" .root }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          resources:
            {{- toYaml $set.resources | nindent 12 }}
          securityContext:
            {{- toYaml $values.securityContext | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            - name: models
              mountPath: {{ include "scriptorium.modelsDir" .root }}
              {{- with $set.model.subPath }}
              subPath: {{ . }}
              {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      {{- end }}
      containers:
        - name: {{ .role }}
          image: {{ include "scriptorium.image" .root }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: [{{ .role }}]
          envFrom:
            - configMapRef:
                name: {{ include "scriptorium.role.fullname" . }}
          env:
            {{- include "scriptorium.secretEnv" .root | trim | nindent 12 }}
            {{- if ne .role "gateway" }}
            {{- with include "scriptorium.llmEnv" .root | trim }}
            {{- . | nindent 12 }}
            {{- end }}
            {{- end }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            {{- if eq .role "gateway" }}
            - name: http
              containerPort: {{ include "scriptorium.httpPort" .root }}
            {{- end }}
            - name: ops
              containerPort: {{ include "scriptorium.opsPort" .root }}
          startupProbe:
            httpGet: {path: /healthz, port: ops}
            periodSeconds: 2
            timeoutSeconds: 2
            failureThreshold: {{ max 1 (div $set.startupSeconds 2) }}
          {{- /* Slow to kill: a busy machine is no reason, and a restart gives up the work in hand. */}}
          livenessProbe:
            httpGet: {path: /healthz, port: ops}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet: {path: /readyz, port: ops}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          {{- if gt $preStop 0 }}
          lifecycle:
            preStop:
              exec:
                command: [sleep, {{ $preStop | quote }}]
          {{- end }}
          resources:
            {{- toYaml $set.resources | nindent 12 }}
          securityContext:
            {{- toYaml $values.securityContext | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- if $modelVolume }}
            - name: models
              mountPath: {{ include "scriptorium.modelsDir" .root }}
              readOnly: true
              {{- with $set.model.subPath }}
              subPath: {{ . }}
              {{- end }}
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: {{ $values.tmp.sizeLimit }}
        {{- if $modelVolume }}
        - name: models
          {{- if $set.model.existingClaim }}
          persistentVolumeClaim:
            claimName: {{ $set.model.existingClaim }}
            readOnly: {{ empty $set.model.fetchImage }}
          {{- else }}
          emptyDir:
            sizeLimit: {{ $set.model.sizeLimit }}
          {{- end }}
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $set.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $set.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $set.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $set.topologySpread }}
      topologySpreadConstraints:
        {{- range $set.topologySpread }}
        - topologyKey: {{ .topologyKey }}
          maxSkew: {{ default 1 .maxSkew }}
          whenUnsatisfiable: {{ default "ScheduleAnyway" .whenUnsatisfiable }}
          labelSelector:
            matchLabels:
              {{- include "scriptorium.role.selectorLabels" $ | nindent 14 }}
        {{- end }}
      {{- end }}
{{- end -}}
