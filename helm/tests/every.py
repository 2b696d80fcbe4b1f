"""What holds for whatever is rendered, with any values. Each function yields complaints."""

import kubernetes_validate
import yaml

from chart import ROLES, boxes, container, environment, kind, pod, role, selects

# Passwords in the test values and in values-dev.yaml.
SECRETS = ["amqp-password", "redis-password", "s3-secret-key", "scriptorium-dev", "scriptorium:scriptorium@"]

# Documents are alike in many variants, and the validator reads its schema anew for each.
FOUND_VALID = set()


def valid(documents):
    """Against the API of the oldest version that Chart.yaml admits, and of the newest that the validator knows."""
    for document in documents:
        text = yaml.safe_dump(document)
        if text in FOUND_VALID:
            continue
        for version in ("1.25", kubernetes_validate.latest_version()):
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{document['kind']} {document['metadata']['name']}, Kubernetes {version}: {error.message}"
                break
        else:
            FOUND_VALID.add(text)


def names(documents):
    seen = set()
    for document in documents:
        name = document["metadata"]["name"]
        if (document["kind"], name) in seen:
            yield f"{document['kind']} {name} is there twice"
        seen.add((document["kind"], name))
        # A pod's name is made of it, and its host name may have 63 characters.
        if len(name) > 63 - len("-0123456789-01234") * (document["kind"] == "Deployment"):
            yield f"{document['kind']} {name}: too long"


def secrets(documents):
    for document in documents:
        text = yaml.safe_dump(document, width=10000)
        if document["kind"] != "Secret" and any(secret in text for secret in SECRETS):
            yield f"{document['kind']} {document['metadata']['name']} has a secret in it"


def references(documents):
    """What a pod names is there, or is the user's."""
    there = {(d["kind"], d["metadata"]["name"]) for d in documents}
    for workload in kind(documents, "Deployment") + kind(documents, "Job"):
        name = workload["metadata"]["name"]
        spec, box = pod(workload)["spec"], container(workload)
        wanted = [("ServiceAccount", spec["serviceAccountName"])]
        wanted += [("ConfigMap", source["configMapRef"]["name"]) for source in box.get("envFrom", [])]
        for variable, value in environment(documents, workload).items():
            if isinstance(value, tuple):
                wanted.append(("Secret", value[0]))
                for secret in kind(documents, "Secret"):
                    if secret["metadata"]["name"] == value[0] and not secret["data"].get(value[1]):
                        yield f"{name}: {variable} is not in the Secret"
        for thing in wanted:
            if thing not in there and not thing[1].startswith("theirs-"):
                yield f"{name}: {thing} is not there"
        if {m["name"] for m in box["volumeMounts"]} - {v["name"] for v in spec["volumes"]}:
            yield f"{name}: a mount without its volume"


def selectors(documents):
    pods = {name: pod(role(documents, name))["metadata"]["labels"] for name in ROLES}
    owners = [(d, d["spec"]["selector"]["matchLabels"]) for d in kind(documents, "Deployment")]
    owners += [(d, d["spec"]["selector"]["matchLabels"]) for d in kind(documents, "PodDisruptionBudget")]
    owners += [(d, d["spec"]["selector"]) for d in kind(documents, "Service")]
    for owner, selector in owners:
        own = owner["metadata"]["labels"]["app.kubernetes.io/component"]
        hit = [name for name, labels in pods.items() if selects(selector, labels)]
        if hit != [own]:
            yield f"{owner['kind']} {owner['metadata']['name']} selects {hit}"
        for job in kind(documents, "Job"):
            if selects(selector, pod(job)["metadata"]["labels"]):
                yield f"{owner['kind']} {owner['metadata']['name']} selects the bucket's Job"
    for name in ROLES:
        for rule in pod(role(documents, name))["spec"].get("topologySpreadConstraints", []):
            if not selects(rule["labelSelector"]["matchLabels"], pods[name]):
                yield f"{name}: a topology spread of other pods"


def routes(documents):
    """Ingress → Service → the gateway's port, on which it listens."""
    services = {d["metadata"]["name"]: d for d in kind(documents, "Service")}
    for ingress in kind(documents, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                to = path["backend"]["service"]
                ports = [p["name"] for p in services.get(to["name"], {"spec": {"ports": []}})["spec"]["ports"]]
                if to["port"]["name"] not in ports:
                    yield f"the ingress leads nowhere: {to}"
    listening = {p["name"] for p in container(role(documents, "gateway"))["ports"]}
    for service in services.values():
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in listening:
                yield f"Service {service['metadata']['name']}: no port {port['targetPort']} in the gateway"
            if port["targetPort"] == "ops":
                yield "the ops port is in a Service"


def roles(documents):
    for name in ROLES:
        workload = role(documents, name)
        spec, box, told = pod(workload)["spec"], container(workload), environment(documents, workload)
        if box["args"] != [name]:
            yield f"{name}: runs {box['args']}"
        ports = {p["name"]: p["containerPort"] for p in box["ports"]}
        wanted = {"ops": "SCRIPTORIUM_OPS_LISTEN"} | ({"http": "SCRIPTORIUM_LISTEN"} if name == "gateway" else {})
        listens = {port: told[variable] for port, variable in wanted.items()}
        if listens != {name: f"0.0.0.0:{number}" for name, number in ports.items()}:
            yield f"{name}: listens elsewhere than on its ports"
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            if box.get(probe, {}).get("httpGet") != {"path": path, "port": "ops"}:
                yield f"{name}: {probe}"
        if box["startupProbe"]["periodSeconds"] * box["startupProbe"]["failureThreshold"] < 60:
            yield f"{name}: no time to wait for services at the start"
        stop = box.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        if spec["terminationGracePeriodSeconds"] < int(stop[1]) + float(told["SCRIPTORIUM_DRAIN_SECONDS"]) + 5:
            yield f"{name}: killed before it has drained"
        for variable in ("SCRIPTORIUM_AMQP_URL", "SCRIPTORIUM_REDIS_URL"):
            if not isinstance(told.get(variable), tuple):
                yield f"{name}: {variable} is not out of a Secret"
        for variable in ("SCRIPTORIUM_S3_BUCKET", "SCRIPTORIUM_S3_REGION", "SCRIPTORIUM_LOG"):
            if not told.get(variable):
                yield f"{name}: {variable} is missing"
        if any("e+" in value for value in told.values() if isinstance(value, str)):
            yield f"{name}: a number with an exponent"
        if not {"cpu", "memory"} <= box["resources"]["requests"].keys() or "memory" not in box["resources"]["limits"]:
            yield f"{name}: resources"


def security(documents):
    workloads = kind(documents, "Deployment") + kind(documents, "Job")
    for workload, box in [(w, box) for w in workloads for box in boxes(w)]:
        spec = pod(workload)["spec"]
        inside = spec["securityContext"] | box["securityContext"]
        good = {
            "runAsNonRoot": inside.get("runAsNonRoot") is True and inside.get("runAsUser") != 0,
            "seccompProfile": inside.get("seccompProfile") == {"type": "RuntimeDefault"},
            "readOnlyRootFilesystem": inside.get("readOnlyRootFilesystem") is True,
            "allowPrivilegeEscalation": inside.get("allowPrivilegeEscalation") is False,
            "capabilities": inside.get("capabilities") == {"drop": ["ALL"]},
            "automountServiceAccountToken": spec.get("automountServiceAccountToken") is False,
            "/tmp": {"name": "tmp", "mountPath": "/tmp"} in box["volumeMounts"]
            and any(v["name"] == "tmp" and "emptyDir" in v for v in spec["volumes"]),
        }
        for setting in [name for name, fine in good.items() if not fine]:
            yield f"{workload['metadata']['name']}: {setting}"


ALL = [valid, names, secrets, references, selectors, routes, roles, security]
