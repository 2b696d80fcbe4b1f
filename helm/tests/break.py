"""Do the checks notice? Spoils a copy of the chart (and of deploy/) in one place after the other, and runs them.

A spoiling that no check notices, or whose text is no longer there, is an error. Takes minutes: not part of `make test`.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
T = "helm/scriptorium/templates/"
DEPLOYMENT, CONFIG, HELPERS, JOB = T + "_deployment.tpl", T + "_config.tpl", T + "_helpers.tpl", T + "bucket-job.yaml"
VALIDATE, VALUES, SCHEMA = T + "_validate.tpl", "helm/scriptorium/values.yaml", "helm/scriptorium/values.schema.json"
COMPOSE, DOCKERFILE, IGNORE = "deploy/compose.yaml", "deploy/Dockerfile", ".dockerignore"

# File, text, what it becomes.
SPOILS = [
    (DEPLOYMENT, "args: [{{ .role }}]", "args: [gateway]"),
    (DEPLOYMENT, "replicas: {{ $set.replicas }}", "replicas: 2"),
    (DEPLOYMENT, "path: /readyz", "path: /healthz"),
    (DEPLOYMENT, "startupProbe:", "startProbe:"),
    (DEPLOYMENT, "add $preStop $set.drainSeconds $values.terminationMarginSeconds", "add 30 0"),
    (DEPLOYMENT, "checksum/config: {{ include", "checksum/config: {{ print 1 }} # {{ include"),
    (DEPLOYMENT, '(include "scriptorium.secretData" .root) $values.secretsVersion', '"" ""'),
    (DEPLOYMENT, "$values.secretsVersion", '""'),
    (DEPLOYMENT, "toYaml (merge (include", "toYaml (mustMergeOverwrite (include"),
    (DEPLOYMENT, "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    (DEPLOYMENT, "imagePullSecrets:", "imagePullSecret:"),
    (DEPLOYMENT, "- name: tmp\n              mountPath: /tmp", "- name: temp\n              mountPath: /tmp"),
    (DEPLOYMENT, 'mountPath: {{ include "scriptorium.modelsDir" .root }}', "mountPath: /elsewhere"),
    (DEPLOYMENT, 'and (eq .role "worker") (or $set.model', "and true (or $values.worker.model"),
    (DEPLOYMENT, "args: [{{ $set.model.name | quote }}]", "args: [tiny.en]"),
    (DEPLOYMENT, "readOnly: {{ empty $set.model.fetchImage }}", "readOnly: true"),
    (DEPLOYMENT, "sizeLimit: {{ $set.model.sizeLimit }}", "sizeLimit: {{ $values.tmp.sizeLimit }}"),
    (DEPLOYMENT, "          securityContext:\n            {{- toYaml $values.securityContext | nindent 12 }}\n          volumeMounts:\n            - name: tmp\n              mountPath: /tmp\n            - name",
     "          volumeMounts:\n            - name: tmp\n              mountPath: /tmp\n            - name"),
    (CONFIG, "{{- if or $set.model.existingClaim $set.model.fetchImage -}}", "{{- if $set.model.existingClaim -}}"),
    (DEPLOYMENT, "command: [sleep, {{ $preStop | quote }}]", "command: [sleep, {{ $preStop }}]"),
    (DEPLOYMENT, "{{- if gt $preStop 0 }}", "{{- if gt $preStop 900 }}"),
    (DEPLOYMENT, 'include "scriptorium.role.selectorLabels" $ | nindent 14', 'include "scriptorium.role.labels" $ | nindent 14'),
    (CONFIG, '"SCRIPTORIUM_LISTEN" (printf "0.0.0.0:%s"', '"SCRIPTORIUM_LISTEN" (printf "127.0.0.1:%s"'),
    (CONFIG, "list $values.config $set.config $own", "list $set.config $values.config $own"),
    (CONFIG, "$value | int64 | toString | quote", "$value | toString | quote"),
    (CONFIG, 'SCRIPTORIUM_S3_REGION: {{ .Values.s3.region | quote }}', "SCRIPTORIUM_AMQP_URL: {{ .Values.amqp.url | quote }}"),
    (CONFIG, "key: {{ ternary .Values.redis", "key: {{ ternary .Values.amqp"),
    (CONFIG, "{{- if or $secret.name .Values.s3.accessKeyId -}}", "{{- if true -}}"),
    (CONFIG, '"SCRIPTORIUM_S3_PUBLIC_ENDPOINT" .', '"SCRIPTORIUM_S3_ENDPOINT" .'),
    (CONFIG, "(not (empty $values.llm.baseUrl))", "true"),
    (CONFIG, "(ne .role \"gateway\")", "true"),
    (CONFIG, "{{- if ne .role \"worker\" -}}", "{{- if true -}}"),
    (CONFIG, "$values.sources.allowPrivate -}}", "true -}}"),
    (CONFIG, "key: {{ ternary $secret.key", "key: {{ ternary \"key\""),
    (DEPLOYMENT, '{{- if ne .role "gateway" }}', "{{- if true }}"),
    (VALIDATE, "(eq $values.sources.importBucket $values.s3.bucket)", "false"),
    (HELPERS, 'app.kubernetes.io/component: {{ .role }}\n{{- end -}}\n\n{{- define "scriptorium.role.labels"',
     'a: b\n{{- end -}}\n\n{{- define "scriptorium.role.labels"'),
    (HELPERS, "trunc 34", "trunc 60"),
    (HELPERS, "{{- if .Values.image.digest -}}", "{{- if false -}}"),
    (T + "service.yaml", "targetPort: http", "targetPort: ops"),
    (T + "service.yaml", "targetPort: http", "targetPort: web"),
    (T + "ingress.yaml", "port: {name: http}", "port: {name: web}"),
    (T + "serviceaccount.yaml", "{{- with .Values.serviceAccount.annotations }}", "{{- with false }}"),
    (T + "serviceaccount.yaml", "kind: ServiceAccount", "kind: ServicesAccount"),
    (T + "poddisruptionbudgets.yaml", "{{- if .enabled }}", "{{- if true }}"),
    (T + "poddisruptionbudgets.yaml", "policy/v1", "policy/v1beta1"),
    (T + "secret.yaml", "kind: Secret", "kind: ConfigMap"),
    (T + "secret.yaml", "| b64enc", ""),
    (T + "deployments.yaml", '{{- include "scriptorium.validate" . -}}', ""),
    (VALIDATE, "{{- if not $values.s3.bucket -}}", "{{- if false -}}"),
    (VALIDATE, '"%s.url must have the form %s" $service.name', '"%s.url must have the form %s" $set.url'),
    (JOB, "{{- if .Values.bucketJob.enabled }}", "{{- if true }}"),
    (JOB, "args: [admin, bucket]", "args: [bucket]"),
    (JOB, "-{{ $pod | sha256sum | trunc 8 }}", ""),
    (JOB, "restartPolicy: Never", "restartPolicy: Always"),
    (JOB, 'value: {{ join "," .Values.bucketJob.corsOrigins | quote }}', 'value: "*"'),
    (VALUES, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    (VALUES, "runAsNonRoot: true", "runAsNonRoot: false"),
    (VALUES, "drop: [ALL]", "drop: [NET_RAW]"),
    (VALUES, "  startupSeconds: 300", "  startupSeconds: 20"),
    (VALUES, "  preStopSeconds: 5", "  preStopSecond: 5"),
    (VALUES, '  fullnameOverride: ""'.strip(), ""),
    (VALUES, "  slots: 2", "  slots: two"),
    (SCHEMA, '"additionalProperties": false', '"additionalProperties": true'),
    (SCHEMA, '"minimum": 0', '"minimum": -5'),
    (SCHEMA, '"SCRIPTORIUM_AMQP_URL",', ""),
    (COMPOSE, "command: [coordinator]", "command: [worker]"),
    (COMPOSE, "condition: service_healthy", "condition: service_started"),
    (COMPOSE, "127.0.0.1:${GATEWAY_2_PORT:-8788}:8787", "8788:8787"),
    (COMPOSE, "http://127.0.0.1:${S3_PORT:-8333}", "http://127.0.0.1:8333"),
    (COMPOSE, "stop_grace_period: 40s", "stop_grace_period: 10s"),
    (COMPOSE, "      <<: [*services, *llm, *sources]", "      <<: [*services, *llm, *sources]\n      SCRIPTORIUM_OPS_LISTEN: 0.0.0.0:9091"),
    (COMPOSE, "      <<: [*services, *llm]", "      <<: *services"),
    (COMPOSE, "<<: [*services, *sources]", "<<: *services"),
    (COMPOSE, "stop_grace_period:", "stop_grace:"),
    (COMPOSE, "rabbitmq:3.13", "rabbitmq"),
    (COMPOSE, "bucket: {condition: service_completed_successfully}", "s3: {condition: service_healthy}"),
    (COMPOSE, 'restart: "no"', "restart: always"),
    (IGNORE, "!docs/errors\n", ""),
    (IGNORE, "!build\n", ""),
    (IGNORE, "!worker\n", ""),
    (IGNORE, "!scripts/model.sh\n", ""),
    (IGNORE, "*\n!.cargo", "!.cargo"),
    (IGNORE, "**/.env\n", ""),
    (DOCKERFILE, "COPY scripts/model.sh", "COPY scripts/models.sh"),
    (DOCKERFILE, "rust:1.95-slim-bookworm", "rust:1.94-slim-bookworm"),
    (DOCKERFILE, "debian:bookworm-slim", "debian:bullseye-slim"),
    (DOCKERFILE, "--release --locked", "--release"),
    (DOCKERFILE, 'image.version="0.1.0"', 'image.version="0.2.0"'),
    (DOCKERFILE, "USER 10001:10001\n# The", "USER 0:0\n# The"),
    (DOCKERFILE, "EXPOSE 8787 9090", "EXPOSE 8787"),
    (DOCKERFILE, "SCRIPTORIUM_OPS_LISTEN=0.0.0.0:9090", "SCRIPTORIUM_OPS_LISTEN=0.0.0.0:9787"),
    (DOCKERFILE, "COPY deploy/health.sh /usr/local/bin/scriptorium-health", ""),
    (DOCKERFILE, "SCRIPTORIUM_DATA_DIR=", "SCRIPTORIUM_DATA="),
    (DOCKERFILE, "SCRIPTORIUM_MODEL=${MODEL}", "SCRIPTORIUM_REDIS_URL=redis://redis"),
    ("Cargo.toml", 'version = "0.1.0"', 'version = "0.1.1"'),
]
# What the checks read nothing of.
LEFT_OUT = shutil.ignore_patterns(".git", "target", "models", "fixtures", "__pycache__")


def noticed(spoil):
    """None if the checks fail as they should, else a complaint."""
    file, text, other = spoil
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
        path = Path(folder) / file
        whole = path.read_text()
        if text not in whole:
            return f"{file} has no {text!r}"
        path.write_text(whole.replace(text, other))
        command = [sys.executable, str(Path(folder) / "helm/tests/check.py"), "--first"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return None if done.returncode != 0 else f"nobody notices, in {file}: {text!r} → {other!r}"


def main():
    """Words on the command line choose: only spoils with one of them in file or text."""
    words = sys.argv[1:]
    chosen = [spoil for spoil in SPOILS if not words or any(word in part for word in words for part in spoil)]
    complaints = [complaint for complaint in map(noticed, chosen) if complaint]
    for complaint in complaints:
        print(f"FAILED {complaint}", file=sys.stderr)
    print(f"break: {len(chosen) - len(complaints)} passed, {len(complaints)} failed")
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
