#!/bin/sh
# The list of components (SBOM) names the program and every dependency that is shipped, with its version.
set -eu
make --no-print-directory sbom
python3 - "$CARGO_TARGET_DIR/$PROFILE/tidegate.cdx.json" <<'CHECK'
import json, subprocess, sys

bom = json.load(open(sys.argv[1]))
assert bom["bomFormat"] == "CycloneDX", bom["bomFormat"]
assert bom["metadata"]["component"]["name"] == "tidegate"
listed = {(c["name"], c["version"]) for c in bom["components"]}
tree = subprocess.run(
    ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"],
    capture_output=True, text=True, check=True,
).stdout
shipped = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
shipped = {(name, version.lstrip("v")) for name, version in shipped if name != "tidegate"}
assert len(shipped) > 100, len(shipped)
missing = shipped - listed
assert not missing, f"not listed: {sorted(missing)}"
print(f"{len(listed)} components, all {len(shipped)} that are shipped among them")
CHECK
