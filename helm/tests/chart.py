"""Renders the chart by Helm, and finds things in what comes out."""

import functools
import os
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).resolve().parent
HELM = os.environ.get("HELM", "helm")
MINIMAL = ["-f", str(TESTS / "values.yaml")]
FULL = [*MINIMAL, "-f", str(TESTS / "full.yaml")]
ROLES = ["gateway", "worker", "coordinator"]


class Chart:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.dev = ["-f", str(self.folder / "values-dev.yaml")]

    def run(self, command, *arguments):
        return subprocess.run([HELM, *command, str(self.folder), *arguments], capture_output=True, text=True, check=False)

    @functools.cache
    def text(self, *arguments, release="rel"):
        done = self.run(["template", release], *arguments)
        if done.returncode != 0:
            raise RuntimeError(f"helm template {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def render(self, *arguments, release="rel"):
        """All documents; a key that is there twice is an error, as it is for strict API servers."""
        return [d for d in yaml.load_all(self.text(*arguments, release=release), Loader=NoDoubles) if d]

    def refusal(self, *arguments):
        """What Helm says when it refuses to render, None if it does not refuse."""
        done = self.run(["template", "rel"], *arguments)
        return done.stderr if done.returncode != 0 else None


class NoDoubles(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        doubles = {key for key in keys if keys.count(key) > 1}
        if doubles:
            raise yaml.constructor.ConstructorError(None, None, f"keys twice: {doubles}", node.start_mark)
        return super().construct_mapping(node, deep)


def kind(documents, name):
    return [d for d in documents if d["kind"] == name]


def role(documents, name, of_kind="Deployment"):
    """The one object of that kind that belongs to the role."""
    label = "app.kubernetes.io/component"
    found = [d for d in kind(documents, of_kind) if d["metadata"]["labels"].get(label) == name]
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} objects of kind {of_kind} for {name}, not one")
    return found[0]


def pod(workload):
    return workload["spec"]["template"]


def container(workload):
    (only,) = pod(workload)["spec"]["containers"]
    return only


def boxes(workload):
    """All containers, the first ones too."""
    return [*pod(workload)["spec"].get("initContainers", []), container(workload)]


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def environment(documents, workload):
    """Variables of the workload's container that are written out; those out of Secrets are (name, key)."""
    found = {}
    box = container(workload)
    for source in box.get("envFrom", []):
        name = source["configMapRef"]["name"]
        (data,) = [d["data"] for d in kind(documents, "ConfigMap") if d["metadata"]["name"] == name]
        found |= data
    for entry in box.get("env", []):
        ref = entry.get("valueFrom", {}).get("secretKeyRef")
        found[entry["name"]] = (ref["name"], ref["key"]) if ref else entry["value"]
    return found
