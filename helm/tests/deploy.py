"""Checks of deploy/compose.yaml, and that every variable that is set anywhere exists in the program."""

import re

import yaml

from chart import ROOT

# The keys of the Compose specification that are used here. A key that is misspelt would be refused by Docker only.
SERVICE_KEYS = {
    "build", "cap_drop", "command", "depends_on", "deploy", "environment", "healthcheck", "hostname", "image", "ports",
    "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "volumes",
}
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period", "disable"}
# A variable of the compose file with its default.
DEFAULT = re.compile(r"\$\{[A-Z0-9_]+:-([^}]*)\}")
VARIABLE = re.compile(r"SCRIPTORIUM_[A-Z0-9_]*[A-Z0-9]")
# The name of the image in compose.yaml, which the program does not read.
NOT_OPTIONS = {"SCRIPTORIUM_IMAGE"}


def services():
    return yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]


def program(service):
    """What the service runs of this program; None if it is another's image."""
    return " ".join(service["command"]) if "SCRIPTORIUM_IMAGE" in service["image"] else None


# Of the language model and of recordings that are fetched: what each role asks for.
ASKED = {
    "gateway": {"SCRIPTORIUM_ALLOW_LLM", "SCRIPTORIUM_SOURCE_FETCHES", "SCRIPTORIUM_SOURCE_ALLOW_PRIVATE"},
    "worker": {"SCRIPTORIUM_LLM_BASE_URL", "SCRIPTORIUM_LLM_MODEL", "SCRIPTORIUM_LLM_API_KEY"},
}
ASKED["coordinator"] = ASKED["worker"] | ASKED["gateway"] - {"SCRIPTORIUM_ALLOW_LLM"}


def compose():
    found = services()
    runs = {name: program(service) for name, service in found.items()}
    count = {}
    for name, command in runs.items():
        if command:
            count[command] = count.get(command, 0) + found[name].get("deploy", {}).get("replicas", 1)
    if count != {"gateway": 2, "coordinator": 2, "worker": 2, "admin bucket": 1}:
        yield f"it runs {count}"
    for name, service in found.items():
        for key in service.keys() - SERVICE_KEYS | service.get("healthcheck", {}).keys() - HEALTH_KEYS:
            yield f"{name}: the key {key} is not known here"
        if ":" not in service["image"]:
            yield f"{name}: any version of {service['image']}"
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name}: {port} can be reached from other machines"
        told = service.get("environment", {})
        waits = {other: condition["condition"] for other, condition in service.get("depends_on", {}).items()}
        healthy, ended = "service_healthy", "service_completed_successfully"
        if runs[name] and waits != ({"s3": healthy} if name == "bucket" else {"rabbitmq": healthy, "redis": healthy, "bucket": ended}):
            yield f"{name} waits for {waits}"
        for other, condition in waits.items():
            if condition == healthy and "test" not in found[other].get("healthcheck", {}):
                yield f"{name} waits for the health of {other}, which has no check"
            if condition == ended and found[other].get("restart") != "no":
                yield f"{name} waits for the end of {other}, which is started again"
        if runs[name] in ("gateway", "coordinator", "worker"):
            optional = {variable for variable in told if re.search("_(LLM|SOURCE)", variable)}
            if optional != ASKED[runs[name]]:
                yield f"{name} is told {sorted(optional)}"
            grace = int(service["stop_grace_period"].removesuffix("s"))
            if grace < int(told["SCRIPTORIUM_DRAIN_SECONDS"]) + 5:
                yield f"{name} is killed before it has drained"
            if "healthcheck" in service or {"SCRIPTORIUM_LISTEN", "SCRIPTORIUM_OPS_LISTEN"} & told.keys():
                yield f"{name}: the image's own health check or ports are changed"
    ports = [DEFAULT.sub(r"\1", port) for service in found.values() for port in service.get("ports", [])]
    published = {port.split(":")[1]: port.split(":")[2] for port in ports}
    if published != {"8787": "8787", "8788": "8787", "8333": "8333"}:
        yield f"ports: {published}"
    for name in ("gateway-1", "gateway-2"):
        (port,) = found["s3"]["ports"]
        if found[name]["environment"]["SCRIPTORIUM_S3_PUBLIC_ENDPOINT"] != f"http://{port.rpartition(':')[0]}":
            yield f"{name} sends clients elsewhere than to the port of s3"


def volumes():
    known = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["volumes"]
    for name, service in services().items():
        for source in [mount.split(":")[0] for mount in service.get("volumes", [])]:
            if source.startswith("./") and not (ROOT / "deploy" / source).is_file():
                yield f"{name}: {source} is not there"
            if not source.startswith("./") and source not in known:
                yield f"{name}: the volume {source} is not declared"


def used_variables(chart):
    files = [ROOT / "deploy/compose.yaml", ROOT / "deploy/Dockerfile", ROOT / "deploy/health.sh"]
    files += [chart.folder / "values.yaml", *sorted((chart.folder / "templates").iterdir())]
    for file in files:
        for name in VARIABLE.findall(file.read_text()):
            # An example in a comment of values.yaml.
            if name not in NOT_OPTIONS | {"SCRIPTORIUM_EXAMPLE"}:
                yield file.name, name


def variables(chart):
    documented = set(VARIABLE.findall((ROOT / "docs/config.md").read_text()))
    for file, name in sorted(set(used_variables(chart))):
        if name not in documented:
            yield f"{file}: {name} is not in docs/config.md"


def checks(chart):
    yield "compose.yaml", compose()
    if (ROOT / "deploy/rabbitmq.conf").exists():
        yield "compose.yaml: volumes", volumes()
    else:
        print("note: skipped: that compose.yaml's files exist (there is no deploy/rabbitmq.conf yet)")
    if "SCRIPTORIUM_AMQP_URL" in (ROOT / "docs/config.md").read_text():
        yield "variables exist", variables(chart)
    else:
        print("note: skipped: that all variables exist (docs/config.md does not have the roles' yet)")
