"""Builds the last stage of the image into a folder, and starts what comes out.

    image.py build ROOT DIST    with the network, in a fresh Debian at ROOT
    image.py try ROOT           in namespaces of its own, see image.sh
"""

import fnmatch
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

CONTAINERFILE = pathlib.Path("deploy/container/Containerfile")
COMPOSE = pathlib.Path("deploy/compose")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE_S = 60


def stages():
    """The instructions of each stage: [(word, rest)]."""
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.M)
    text = re.sub(r"\\\n\s*", " ", text)
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(None, 1)
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def is_ignored(path, patterns):
    """Whether .dockerignore keeps this file out of the context."""
    parts = pathlib.PurePosixPath(path).parts
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for pattern in patterns:
        tail = pattern.removeprefix("**/")
        for candidate in above:
            name = candidate.rsplit("/", 1)[-1] if tail != pattern else candidate
            if fnmatch.fnmatchcase(name, tail):
                return True
    return False


def check_build_stage(stage, dist):
    """The stage that compiles gets every file that the program is built from, and compiles it as here."""
    base = dict(stage)["FROM"]
    assert re.fullmatch(r"\S+:\d+\.\d+\.\d+-\w+ AS build", base), f"not pinned: {base}"
    lines = pathlib.Path("Cargo.toml").read_text()
    minimum = re.search(r'rust-version = "([\d.]+)"', lines)[1]
    assert base.split(":")[1].startswith(minimum + "."), f"{base}, but the crate needs {minimum}"
    assert dict(stage)["RUN"] == "cargo build --locked --profile dist --bin tidegate", stage
    lines = pathlib.Path(".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    here = os.getcwd() + "/"
    # "program: file file ...", where the program itself may stand below this folder too.
    _, _, read = pathlib.Path(dist, "tidegate.d").read_text().partition(": ")
    read = read.replace("\\ ", "\0").split()
    files = [name.removeprefix(here) for name in read if name.startswith(here)]
    # Cargo also wants to see every target that the manifest names.
    for folder in ["tests/it/main.rs", "benches/suite/main.rs", "benches/backlog.rs"]:
        assert pathlib.Path(folder).is_file()
        files.append(folder)
    files += ["Cargo.toml", "Cargo.lock"]
    assert len(files) > 300, f"only {len(files)} files"
    missing = [file for file in files if is_ignored(file, patterns)]
    assert not missing, f".dockerignore keeps out {missing}"
    for kept_out in ["target/debug/tidegate", ".git/HEAD", "benches/peers/node_modules/x/y.js"]:
        assert is_ignored(kept_out, patterns), f"{kept_out} is in the context"
    print(f"image: the context has all {len(files)} files that the program is built from")


def build(root, dist):
    """Runs the steps of the last stage; leaves what an engine would keep as ROOT/../image.json."""
    first, last = stages()
    check_build_stage(first, dist)
    config = {"env": {"PATH": PATH}, "user": "0", "cwd": "/"}
    for word, rest in last:
        if word == "FROM":
            assert re.fullmatch(r"\S+:\d+\.\d+-slim", rest), f"not pinned: {rest}"
        elif word == "RUN":
            print(f"image: RUN {rest[:70]}...")
            inside = ["unshare", "--mount", "sh", "-euc"]
            mounts = 'mount --make-rprivate /; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; '
            run = mounts + 'exec env -i PATH="$2" DEBIAN_FRONTEND=noninteractive chroot "$1" sh -c "$3"'
            subprocess.run([*inside, run, "run", root, PATH, rest], check=True, stdout=subprocess.DEVNULL)
        elif word == "COPY":
            words = rest.split()
            built = words[0] == "--from=build"
            source, target = words[-2:]
            source = source.replace("/src/target/dist", dist) if built else source
            place = pathlib.Path(root, target.lstrip("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
        elif word == "USER":
            config["user"] = rest
        elif word == "ENV":
            name, value = rest.split("=", 1)
            config["env"][name] = value
        elif word == "WORKDIR":
            config["cwd"] = rest
        elif word in ("ENTRYPOINT", "CMD", "VOLUME"):
            config[word.lower()] = json.loads(rest)
        elif word == "HEALTHCHECK":
            config["health"] = json.loads(rest.split("CMD", 1)[1])
        else:
            assert word == "EXPOSE", word
    pathlib.Path(root + ".json").write_text(json.dumps(config))


class Image:
    """What was built, and how its processes are started."""

    def __init__(self, root):
        self.root = root
        self.config = json.loads(pathlib.Path(root + ".json").read_text())

    def command(self, words, environment):
        group = subprocess.run(
            ["chroot", self.root, "id", "-g", self.config["user"]], capture_output=True, text=True, check=True
        ).stdout.strip()
        env = self.config["env"] | environment
        inner = f'cd {shlex.quote(self.config["cwd"])} && exec "$@"'
        return [
            "chroot", f'--userspec={self.config["user"]}:{group}', self.root,
            "env", "-i", *[f"{name}={value}" for name, value in env.items()], "sh", "-c", inner, "sh", *words,
        ]  # fmt: skip

    def run(self, words, **environment):
        ended = subprocess.run(self.command(words, environment), capture_output=True, text=True)
        return ended.returncode, ended.stdout, ended.stderr

    def start(self, words, **environment):
        log = open(f"{self.root}.log", "w")
        return subprocess.Popen(self.command(words, environment), stdout=log, stderr=log)

    def log(self):
        return pathlib.Path(f"{self.root}.log").read_text()

    def wait(self, what, process, ask):
        """Asks as the engine does, until it answers well."""
        end = time.monotonic() + PATIENCE_S
        while True:
            code, out, err = self.run(ask)
            if code == 0:
                return
            assert process.poll() is None, f"{what} ended: {self.log()}"
            assert time.monotonic() < end, f"{what} is not healthy: {out}{err}\n{self.log()}"
            time.sleep(0.2)


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, f"ended with {process.returncode}"


def alone(image):
    """`docker run`: on its managed Redis, with a volume, as a user that is not root."""
    serve = image.config["entrypoint"] + image.config["cmd"]
    code, out, err = image.run(serve)
    assert code == 2 and "SHOP_TOKEN_SHA256" in err + out, f"without a token: {code} {err}{out}"
    code, out, _ = image.run(image.config["entrypoint"] + ["token", "new", "shop", "--output", "json",
                             "--scope", "send", "--scope", "read", "--scope", "operate"])  # fmt: skip
    made = json.loads(out)
    daemon = image.start(serve, SHOP_TOKEN_SHA256=made["sha256"])
    image.wait("the daemon", daemon, image.config["health"])
    uid = os.stat(f"/proc/{daemon.pid}").st_uid
    assert uid == int(image.config["user"]) != 0, uid
    token = {"TIDEGATE_TOKEN": made["token"]}
    code, out, err = image.run(["tidegate", "send", "sms", "-d", "{}", "--wait", "20s"], **token)
    assert code == 0, err
    code, waiting, err = image.run(["tidegate", "send", "sms", "-d", "{}", "--delay", "1h"], **token)
    assert code == 0, err
    code, _, _ = image.run(["tidegate", "queues"])
    assert code != 0, "the API takes calls without a token"
    stop(daemon)
    code, _, _ = image.run(image.config["health"])
    assert code != 0, "healthy although nothing runs"
    daemon = image.start(serve, SHOP_TOKEN_SHA256=made["sha256"])
    image.wait("the daemon", daemon, image.config["health"])
    code, out, err = image.run(["tidegate", "get", waiting.strip()], **token)
    assert code == 0, f"the message did not outlast a restart: {err}"
    stop(daemon)
    print("image: runs alone, as a user of its own, keeps its messages in /data")


def list_of(text, key):
    """A list that compose has in one line."""
    return json.loads(re.search(rf"^    {key}: (\[.*\])$", text, flags=re.M)[1])


def composed(image):
    """The three services of docker-compose.yml, one after the other, on one loopback."""
    services = re.split(r"^  (\w+):\n", (COMPOSE / "docker-compose.yml").read_text(), flags=re.M)
    text = dict(zip(services[1::2], services[2::2]))
    root = pathlib.Path(image.root)
    for source, target in [(COMPOSE / "tidegate.toml", "tidegate.toml"), ("deploy/redis/redis.conf", "redis.conf")]:
        shutil.copy(source, root / "etc/tidegate" / target)
    (root / "etc/hosts").write_text("127.0.0.1 localhost redis\n")
    script = re.search(r"      - \|\n((?:        .*\n)+)", text["token"])[1]
    script = re.sub(r"^        ", "", script, flags=re.M).replace("$$", "$")
    for _ in range(2):
        code, out, err = image.run(list_of(text["token"], "entrypoint") + [script])
        assert code == 0, f"{out}{err}"
        token = (root / "data/shop.token").read_text().strip()
    assert token.startswith("tg_") and not (root / "data/shop.json").exists()
    redis = image.start(list_of(text["redis"], "entrypoint") + list_of(text["redis"], "command"))
    ask = json.loads(re.search(r"test: (\[.*\])", text["redis"])[1])[1:]
    image.wait("redis", redis, ask)
    daemon = image.start(image.config["entrypoint"] + image.config["cmd"])
    image.wait("the daemon", daemon, image.config["health"])
    code, out, err = image.run(["tidegate", "send", "sms", "-d", "{}", "--wait", "20s"], TIDEGATE_TOKEN=token)
    assert code == 0, err
    stop(daemon)
    stop(redis)
    print("image: starts as compose has it, with a token that it made")


if sys.argv[1] == "build":
    build(*sys.argv[2:4])
else:
    built = Image(sys.argv[2])
    alone(built)
    composed(built)
