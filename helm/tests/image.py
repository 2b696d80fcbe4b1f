"""Checks of deploy/Dockerfile: what it copies is there, and its numbers are those of the workspace and of the chart.

They build nothing: whether the image builds and runs is seen by `make image` only.
"""

import re
import tomllib

import yaml

from chart import MINIMAL, ROLES, ROOT, container, environment, pod, role

# What must never get into an image: one example of each kind.
PRIVATE = [".git/config", ".env", "deploy/.env", "gateway/.env", "models/base/model.bin", "target/release/scriptorium", "talk.mp3"]
INCLUDED = re.compile(r'include_(?:str|bytes)!\(\s*"([^"]+)"')


def instructions():
    """Of the Dockerfile: (name, rest), lines that go on joined, comments left out."""
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    return [tuple(line.split(None, 1)) for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]


def last_stage():
    found = instructions()
    return found[max(index for index, (name, _) in enumerate(found) if name == "FROM"):]


def variables():
    """What the image sets for the program."""
    return dict(pair.split("=", 1) for name, rest in last_stage() if name == "ENV" for pair in rest.split())


def arguments():
    """Each ARG with a default."""
    return dict(rest.split("=", 1) for name, rest in instructions() if name == "ARG" and "=" in rest)


def labels():
    text = " ".join(rest for name, rest in last_stage() if name == "LABEL")
    return dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', text))


def ignore_rules():
    rules = []
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            parts = re.split(r"(\*\*/|\*\*|\*|\?)", line.removeprefix("!").strip("/"))
            known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
            expression = "".join(known.get(part) or re.escape(part) for part in parts)
            rules.append((re.compile(expression + r"(?:/.*)?\Z"), line.startswith("!")))
    return rules


def in_context(path, rules):
    """Whether a builder sees the file: of the rules that fit it or a folder that it is in, the last one decides."""
    seen = True
    for expression, exception in rules:
        if expression.match(path):
            seen = exception
    return seen


def workspace():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]


def compiled_in():
    """The files that our crates have compiled into them, as paths in the repository."""
    for member in workspace()["members"]:
        for source in (ROOT / member / "src").rglob("*.rs"):
            for name in INCLUDED.findall(source.read_text()):
                yield (source.parent / name).resolve().relative_to(ROOT).as_posix()


def context():
    rules = ignore_rules()
    copied = [part for name, rest in instructions() if name == "COPY" and "--from=" not in rest for part in rest.split()[:-1]]
    wanted = {path for path in copied if path != "."}
    wanted |= {"Cargo.toml", "Cargo.lock", ".cargo/config.toml", *compiled_in()}
    settings = tomllib.loads((ROOT / ".cargo/config.toml").read_text()).get("env", {})
    wanted |= {entry["value"] for entry in settings.values() if isinstance(entry, dict) and entry.get("relative")}
    for member in workspace()["members"]:
        wanted.add(f"{member}/Cargo.toml")
        wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / member / "src").rglob("*.rs")}
    if len(wanted) < 100:
        yield f"only {len(wanted)} files were found that the build needs: the check is blind"
    for path in sorted(wanted):
        if not (ROOT / path).exists():
            yield f"{path} is not there"
        elif not in_context(path, rules):
            yield f"{path} is kept from the build by .dockerignore"
    for path in PRIVATE:
        if in_context(path, rules):
            yield f"{path} would be sent to the builder"


def versions(chart):
    about = workspace()["package"]
    if labels().get("version") != about["version"]:
        yield f"the label says {labels().get('version')}, Cargo.toml {about['version']}"
    described = yaml.safe_load((chart.folder / "Chart.yaml").read_text())
    if described["appVersion"] != about["version"]:
        yield f"the chart is for {described['appVersion']}, Cargo.toml says {about['version']}"
    rust = re.fullmatch(r"rust:([0-9.]+)-slim-(\w+)", arguments()["BUILD_BASE"])
    debian = re.fullmatch(r"debian:(\w+)-slim", arguments()["RUN_BASE"])
    if not rust or not debian:
        yield f"base images: {arguments()}"
    elif rust[1] != about["rust-version"] or rust[2] != debian[1]:
        yield f"{rust[0]} does not fit {debian[0]} or Rust {about['rust-version']}"


def last(name):
    found = [rest for other, rest in last_stage() if other == name]
    return found[-1] if found else ""


def runs(chart):
    """That chart and image say the same."""
    documents = chart.render(*MINIMAL)
    (build,) = [rest for name, rest in instructions() if name == "RUN" and "cargo build" in rest]
    if " --locked " not in build or " --release " not in build:
        yield "cargo build is not --locked and --release"
    told = variables()
    ports = {told[name].rpartition(":")[2] for name in ("SCRIPTORIUM_LISTEN", "SCRIPTORIUM_OPS_LISTEN")}
    if set(last("EXPOSE").split()) != ports:
        yield f"EXPOSE {last('EXPOSE')}, but it listens on {ports}"
    for name in ROLES:
        workload = role(documents, name)
        spec, inside = pod(workload)["spec"], environment(documents, workload)
        if last("USER") != "{runAsUser}:{runAsGroup}".format(**spec["securityContext"]):
            yield f"{name}: the chart's user is not the image's, {last('USER')}"
        if inside["SCRIPTORIUM_OPS_LISTEN"] != told["SCRIPTORIUM_OPS_LISTEN"]:
            yield f"{name}: the image's health check asks another port than the chart's"
        stop = container(workload).get("lifecycle", {})
        if stop and "debian" not in arguments()["RUN_BASE"]:
            yield f"{name}: preStop runs a command that the image may not have"
    # `host` of a probe is the pod; a check that is not in the image would leave it unhealthy for ever.
    check = re.search(r'CMD \["([\w-]+)"\]', last("HEALTHCHECK"))
    if not check or not any(name == "COPY" and rest.endswith(f"/{check[1]}") for name, rest in last_stage()):
        yield "the health check is not in the image"
    if last("ENTRYPOINT") != '["scriptorium"]':
        yield f"the chart's args are not for {last('ENTRYPOINT')}"
    for name in told:
        if any(word in name for word in ("PASSWORD", "SECRET", "KEY", "URL")):
            yield f"{name} is written into the image"


def checks(chart):
    yield "Dockerfile: what it copies", context()
    yield "Dockerfile: versions", versions(chart)
    yield "Dockerfile: what runs", runs(chart)
