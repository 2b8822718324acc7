"""The configurations of Kubernetes, compose and the image load, and what compose names is there."""

import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

PROGRAM = sys.argv[1]
HASH = "0" * 64
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "SHOP_TOKEN_SHA256": HASH,
    "REDIS_URL": "redis://:password@redis:6379",
}


def check(name, text, **environment):
    """`tidegate check` takes this configuration."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "tidegate.toml")
        path.write_text(text)
        ended = subprocess.run(
            [PROGRAM, "check", "--config", str(path)],
            env=ENVIRONMENT | environment,
            capture_output=True,
            text=True,
        )
    assert ended.returncode == 0, f"{name}: {ended.stderr}"
    print(f"{name}: loads")


for manifest in sorted(pathlib.Path("deploy/kubernetes").glob("*.yaml")):
    documents = list(yaml.safe_load_all(manifest.read_text()))
    maps = [d for d in documents if d["kind"] == "ConfigMap"]
    assert maps, f"{manifest}: no configuration"
    for document in maps:
        check(manifest, document["data"]["tidegate.toml"])
    for document in documents:
        template = document.get("spec", {}).get("template")
        if template:
            mounted = {v["name"] for v in template["spec"]["volumes"]}
            mounted |= {c["metadata"]["name"] for c in document["spec"].get("volumeClaimTemplates", [])}
            for container in template["spec"]["containers"]:
                used = {m["name"] for m in container["volumeMounts"]}
                assert used <= mounted, f"{manifest}: {used - mounted} is not a volume"

check("the image", pathlib.Path("deploy/container/tidegate.toml").read_text())
# The token's file is made by compose; here it lies elsewhere.
with tempfile.NamedTemporaryFile("w", suffix=".sha256") as file:
    file.write(HASH + "\n")
    file.flush()
    text = pathlib.Path("deploy/compose/tidegate.toml").read_text()
    assert "/data/shop.sha256" in text
    check("compose", text.replace("/data/shop.sha256", file.name))

compose = yaml.safe_load(pathlib.Path("deploy/compose/docker-compose.yml").read_text())
services = compose["services"]
folder = pathlib.Path("deploy/compose")
for name, service in services.items():
    build = service["build"]
    context = folder / build["context"]
    assert (context / build["dockerfile"]).is_file(), f"{name}: no {build['dockerfile']}"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        there = source in compose["volumes"] or (folder / source).is_file()
        assert there, f"{name}: {source} is neither a volume nor a file"
    for other, wanted in service.get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in services[other], f"{name} waits for the health of {other}"
print("compose: everything that it names is there")
