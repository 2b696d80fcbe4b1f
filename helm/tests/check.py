"""Checks of the chart and of deploy/: renders with several values, and looks at what comes out.

    check.py [--first]     --first: ends at the first failure. Needs PyYAML and kubernetes-validate (scripts/helm.sh sees to both).
"""

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor

import yaml

import deploy
import every
import image
from chart import FULL, MINIMAL, ROLES, ROOT, Chart, container, environment, kind, pod, role

passed, failed = 0, 0


def check(name, complaints):
    """Counts; complaints are a list of texts, or a truth."""
    global passed, failed
    if isinstance(complaints, bool):
        complaints = [] if complaints else ["it does not hold"]
    complaints = list(complaints)
    passed, failed = passed + (not complaints), failed + bool(complaints)
    for complaint in complaints:
        print(f"FAILED {name}: {complaint}", file=sys.stderr)
    if failed and "--first" in sys.argv:
        sys.exit(1)


def everything_rendered(chart):
    variants = {
        "minimal": chart.render(*MINIMAL),
        "dev": chart.render(*chart.dev),
        "full": chart.render(*FULL),
        "keys": chart.render(*MINIMAL, "--set", "s3.accessKeyId=id,s3.secretAccessKey=s3-secret-key,bucketJob.enabled=true",
                             "--set", "llm.baseUrl=https://llm.example/v1,llm.model=corrector,llm.apiKey=llm-key"),
        "long names": chart.render(*FULL, release="a-release-with-a-name-of-53-characters-which-is-allowed"[:53]),
        "own account": chart.render(*MINIMAL, "--set", "serviceAccount.create=false,serviceAccount.name=theirs-account"),
        "fetched model": chart.render(*MINIMAL, "--set", "worker.model.name=base,worker.model.fetchImage=registry.example/models:1"),
        "no preStop": chart.render(*MINIMAL, "--set", "gateway.preStopSeconds=0,worker.drainSeconds=600"),
    }
    for variant, documents in variants.items():
        for rule in every.ALL:
            check(f"{variant}: {rule.__name__}", rule(documents))
    return variants


def values_have_effect(chart, variants):
    for name in ROLES:
        documents = chart.render(*MINIMAL, "--set", f"{name}.replicas=7")
        counts = {other: role(documents, other)["spec"]["replicas"] for other in ROLES}
        check(f"{name}.replicas", counts == {other: 7 if other == name else 2 for other in ROLES})

    full, minimal = variants["full"], variants["minimal"]
    check("an image's digest wins", "@sha256:" in container(role(full, "worker"))["image"])
    told = {name: environment(full, role(full, name)) for name in ROLES}
    check("the role's config wins, also with 0", told["gateway"]["SCRIPTORIUM_MAX_CHUNK_RETRIES"] == "0")
    check("config reaches other roles", told["worker"]["SCRIPTORIUM_MAX_CHUNK_RETRIES"] == "3")
    check("large numbers are whole", told["worker"]["SCRIPTORIUM_RETENTION_SECONDS"] == "1000000")
    check("broken numbers stay", told["worker"]["SCRIPTORIUM_PART_SECONDS"] == "120.5")
    public = [name for name in ROLES if "SCRIPTORIUM_S3_PUBLIC_ENDPOINT" in told[name]]
    check("only the gateway is told the public endpoint", public == ["gateway"])
    theirs = {variable: value for variable, value in told["worker"].items() if isinstance(value, tuple)}
    check("Secrets of the user's are used, and the chart makes none", not kind(full, "Secret") and theirs == {
        "SCRIPTORIUM_AMQP_URL": ("theirs-amqp", "amqp-uri"),
        "SCRIPTORIUM_REDIS_URL": ("theirs-redis", "redis-uri"),
        "AWS_ACCESS_KEY_ID": ("theirs-s3", "id"),
        "AWS_SECRET_ACCESS_KEY": ("theirs-s3", "key"),
        "SCRIPTORIUM_LLM_API_KEY": ("theirs-llm", "token"),
    })
    llm_and_sources(minimal, full, variants["keys"])
    (made,) = kind(variants["keys"], "Secret")
    check("the chart's Secret has what was given", {key: base64.b64decode(value).decode() for key, value in made["data"].items()} == {
        "SCRIPTORIUM_AMQP_URL": "amqp://user:amqp-password@rabbitmq.example:5672/%2f",
        "SCRIPTORIUM_REDIS_URL": "redis://:redis-password@redis.example:6379/0",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "s3-secret-key",
        "SCRIPTORIUM_LLM_API_KEY": "llm-key",
    })
    check("no keys: the pod's own identity", "AWS_ACCESS_KEY_ID" not in environment(minimal, role(minimal, "worker")))
    (account,) = kind(full, "ServiceAccount")
    check("the account's annotations", account["metadata"]["annotations"] == {"example.org/role": "transcriber"})

    mounts = {m["mountPath"]: m for m in container(role(full, "worker"))["volumeMounts"]}
    models = mounts.get(told["worker"].get("SCRIPTORIUM_MODELS_DIR"), {})
    mounted = models.get("readOnly") is True and models.get("subPath") == "whisper"
    check("models of a claim are mounted where the worker looks", mounted)
    claims = {n: [v for v in pod(role(full, n))["spec"]["volumes"] if "persistentVolumeClaim" in v] for n in ROLES}
    check("only workers have them", [n for n in ROLES if claims[n]] == ["worker"])
    fetched = variants["fetched model"]
    spec = pod(role(fetched, "worker"))["spec"]
    (first,) = spec["initContainers"]
    check("an init container fetches the model", (first["image"], first["args"]) == ("registry.example/models:1", ["base"]))
    (told_first,) = [entry["value"] for entry in first["env"]]
    places = [m for box in (first, container(role(fetched, "worker"))) for m in box["volumeMounts"] if m["name"] == "models"]
    check("… to where the worker looks", [m["mountPath"] for m in places] == [told_first] * 2 and told_first
        == environment(fetched, role(fetched, "worker")).get("SCRIPTORIUM_MODELS_DIR") and [m.get("readOnly") for m in places] == [None, True])
    check("… in a folder of the pod", [v["emptyDir"] for v in spec["volumes"] if v["name"] == "models"] == [{"sizeLimit": "4Gi"}])
    check("only workers have one", [n for n in ROLES if "initContainers" in pod(role(fetched, n))["spec"]] == ["worker"])
    claimed = chart.render(*FULL, "--set", "worker.model.fetchImage=registry.example/models:1")
    (volume,) = [v for v in pod(role(claimed, "worker"))["spec"]["volumes"] if v["name"] == "models"]
    check("… or into a claim, which can be written then", volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": False})
    baked_in = "SCRIPTORIUM_MODELS_DIR" not in environment(minimal, role(minimal, "worker"))
    check("a model in the image: the image says where", baked_in)

    spec = pod(role(full, "worker"))["spec"]
    placement = ("nodeSelector", "tolerations", "affinity", "priorityClassName", "imagePullSecrets")
    check("placement", [f"no {field}" for field in placement if not spec.get(field)])
    check("budgets are asked for", [len(kind(d, "PodDisruptionBudget")) for d in (minimal, full)] == [0, 2])
    check("the ingress is asked for", [len(kind(d, "Ingress")) for d in (minimal, full)] == [0, 1])
    check("the gateway waits for proxies to hear of its end", "preStop" in container(role(minimal, "gateway")).get("lifecycle", {}))


def llm_and_sources(minimal, full, keys):
    """Each role is told what it asks for, and nothing of the rest."""
    def of(documents, *words):
        told = {name: environment(documents, role(documents, name)) for name in ROLES}
        return {name: {v: value for v, value in told[name].items() if any(word in v for word in words)} for name in ROLES}

    calls = {
        "SCRIPTORIUM_LLM_BASE_URL": "https://llm.example/v1,https://other.example/v1",
        "SCRIPTORIUM_LLM_MODEL": "corrector",
        "SCRIPTORIUM_LLM_API_KEY": ("theirs-llm", "token"),
    }
    check("a language model: workers and coordinators call it, gateways allow it", of(full, "LLM") == {
        "gateway": {"SCRIPTORIUM_ALLOW_LLM": "true"}, "worker": calls, "coordinator": calls})
    check("no language model unless asked for", of(minimal, "LLM") == {
        "gateway": {"SCRIPTORIUM_ALLOW_LLM": "false"}, "worker": {}, "coordinator": {}})
    made = of(keys, "LLM_API_KEY")
    check("its key is in the chart's Secret", made == {
        "gateway": {}, **{name: {"SCRIPTORIUM_LLM_API_KEY": ("rel-scriptorium", "SCRIPTORIUM_LLM_API_KEY")} for name in ("worker", "coordinator")}})
    fetches = {
        "SCRIPTORIUM_SOURCE_FETCHES": "0",
        "SCRIPTORIUM_SOURCE_ALLOW_PRIVATE": "true",
        "SCRIPTORIUM_IMPORT_BUCKET": "imports",
        "SCRIPTORIUM_IMPORT_PREFIX": "incoming",
    }
    check("sources: gateways look and coordinators fetch", of(full, "SOURCE", "IMPORT") == {
        "gateway": fetches, "worker": {}, "coordinator": fetches})
    default = {"SCRIPTORIUM_SOURCE_FETCHES": "4", "SCRIPTORIUM_SOURCE_ALLOW_PRIVATE": "false"}
    check("sources by default", of(minimal, "SOURCE", "IMPORT") == {"gateway": default, "worker": {}, "coordinator": default})


def changes_roll_pods(chart, variants):
    def annotations(*arguments):
        documents = chart.render(*arguments)
        return {name: pod(role(documents, name)) for name in ROLES}

    def changed(*arguments, of=MINIMAL):
        before, after = annotations(*of), annotations(*of, *arguments)
        return [name for name in ROLES if before[name] != after[name]]

    check("another secret rolls all", changed("--set", "redis.url=redis://other") == ROLES)
    check("another secretsVersion rolls all", changed("--set", "secretsVersion=4", of=FULL) == ROLES)
    check("config rolls all", changed("--set", "config.SCRIPTORIUM_X=1") == ROLES)
    check("a role's config rolls that role", changed("--set", "worker.config.SCRIPTORIUM_X=1") == ["worker"])
    check("replicas roll nothing", changed("--set", "worker.replicas=9,gateway.service.port=81") == [])

    def job(*arguments):
        found = kind(chart.render(*MINIMAL, "--set", "bucketJob.enabled=true", *arguments), "Job")
        return [(j["metadata"]["name"], j["spec"]) for j in found]

    check("no Job unless asked for", not kind(variants["minimal"], "Job"))
    ((name, spec),) = job()
    check("the Job runs admin bucket", container({"spec": spec})["args"] == ["admin", "bucket"])
    # The schemas do not know that a Job's pods may not have the other policy.
    check("the Job ends", pod({"spec": spec})["spec"]["restartPolicy"] == "Never")
    check("the same Job for the same bucket", job("--set", "worker.replicas=9") == [(name, spec)])
    for other in ("s3.bucket=another", "image.tag=v2", "bucketJob.corsOrigins={https://a.example}"):
        check(f"another Job for {other}", job("--set", other)[0][0] != name)


# What is set → what the message must have in it.
REFUSED = {
    "image.repository=": "image.repository is not set",
    "amqp.url=": "amqp.url is not set",
    "amqp.url=http://u:hidden@x": "amqp.url must have the form",
    "amqp.existingSecret.name=x": "amqp.url and amqp.existingSecret.name are both set",
    "redis.url=": "redis.url is not set",
    "redis.url=x:hidden@y": "redis.url must have the form",
    "s3.bucket=": "s3.bucket is not set",
    "s3.accessKeyId=x": "only one is set",
    "s3.accessKeyId=x,s3.secretAccessKey=hidden,s3.existingSecret.name=y": "s3.accessKeyId and s3.existingSecret.name are both set",
    "llm.baseUrl=https://llm.example/v1": "llm.baseUrl without llm.model",
    "llm.model=x": "llm.baseUrl is not set",
    "llm.apiKey=hidden": "llm.baseUrl is not set",
    "llm.baseUrl=https://x,llm.model=y,llm.apiKey=hidden,llm.existingSecret.name=z": "llm.apiKey and llm.existingSecret.name are both set",
    "sources.importPrefix=x": "sources.importPrefix without",
    "sources.importBucket=recordings": "sources.importBucket is s3.bucket",
    "gateway.ingress.enabled=true": "name at least one host",
    # the schema
    "worker.replica=3": "/worker",
    "workers.replicas=3": "workers",
    "worker.replicas=two": "/worker/replicas",
    "worker.replicas=-1": "/worker/replicas",
    "worker.slots=0": "/worker/slots",
    "worker.resources.request.cpu=1": "/worker/resources",
    "worker.preStopSeconds=1": "/worker",
    "gateway.allowUnauthenticated=yes": "/gateway/allowUnauthenticated",
    "gateway.service.type=Cluster": "/gateway/service/type",
    "gateway.drainSeconds=0": "/gateway/drainSeconds",
    "s3.bucket=No_Bucket": "/s3/bucket",
    "s3.endpoint=s3.example": "/s3/endpoint",
    "log.format=xml": "/log/format",
    "llm.baseUrl=llm.example": "/llm/baseUrl",
    "llm.baseurl=https://llm.example": "/llm",
    "sources.fetches=65": "/sources/fetches",
    "sources.allowPrivate=yes": "/sources/allowPrivate",
    "image.tag=15": "/image/tag",
    "config.MAX=1": "MAX",
    "config.SCRIPTORIUM_AMQP_URL=amqp://x": "SCRIPTORIUM_AMQP_URL",
    "config.SCRIPTORIUM_LLM_API_KEY=x": "SCRIPTORIUM_LLM_API_KEY",
    "coordinator.config.SCRIPTORIUM_LLM_MODEL=x": "SCRIPTORIUM_LLM_MODEL",
    "config.SCRIPTORIUM_OPENAI_API_KEY=x": "SCRIPTORIUM_OPENAI_API_KEY",
    "worker.config.SCRIPTORIUM_WORKERS=3": "SCRIPTORIUM_WORKERS",
}


def wrong_values_are_refused(chart):
    def one(item):
        setting, wanted = item
        said = chart.refusal(*MINIMAL, "--set", setting)
        if said is None:
            return setting, ["is taken"]
        # Helm 3 writes a.b where Helm 4 writes /a/b.
        found = wanted.replace("/", ".").strip(".") in said.replace("/", ".")
        return setting, [] if found and "hidden" not in said else [f"the message is {said!r}"]

    with ThreadPoolExecutor() as pool:
        for setting, complaints in pool.map(one, REFUSED.items()):
            check(f"--set {setting}", complaints)
    said = chart.refusal() or ""
    needed = ("image.repository", "amqp.url", "redis.url", "s3.bucket")
    check("all that is missing is said at once", [f"not {name}" for name in needed if name not in said])


def values_and_schema_agree(chart):
    """That the schema allows all in values.yaml, `helm lint` checks. Here: values.yaml shows all that the schema allows."""
    schema = json.loads((chart.folder / "values.schema.json").read_text())
    values = yaml.safe_load((chart.folder / "values.yaml").read_text())

    def missing(part, shown, path):
        for name, inner in part.get("properties", {}).items():
            if name == "global":
                continue
            if name not in shown:
                yield f"{path}{name} is not in values.yaml"
            elif isinstance(shown[name], dict):
                yield from missing(inner, shown[name], f"{path}{name}.")

    check("values.yaml shows every value", missing(schema, values, ""))


def main():
    chart = Chart(ROOT / "helm/scriptorium")
    for arguments in (MINIMAL, chart.dev, FULL, []):
        done = chart.run(["lint", "--strict"], *arguments)
        check(f"helm lint {arguments}", [] if done.returncode == 0 else [done.stdout + done.stderr])
    variants = everything_rendered(chart)
    values_have_effect(chart, variants)
    changes_roll_pods(chart, variants)
    wrong_values_are_refused(chart)
    values_and_schema_agree(chart)
    for name, complaints in [*deploy.checks(chart), *image.checks(chart)]:
        check(name, complaints)
    print(f"chart: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
