"""The production scripts, as the crate has put them together, on a redis-server of their own and in virtual time."""
import json, os, re, socket, subprocess, tempfile, time

# A script reads the moment of its call once. Here it reads the one that the check has set.
CIRCLE = 52
TIME, VIRTUAL_TIME = "rc('TIME')", "rc('MGET', 'now_s', 'now_us')"


class Redis:
    """One connection; a call sends and waits, `many` sends all first."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.file = self.socket.makefile('rb')

    @staticmethod
    def encode(args):
        out = [b'*%d\r\n' % len(args)]
        for arg in args:
            arg = arg if isinstance(arg, bytes) else str(arg).encode()
            out += [b'$%d\r\n' % len(arg), arg, b'\r\n']
        return b''.join(out)

    def read(self):
        line = self.file.readline()
        kind, value = line[:1], line[1:-2]
        if kind == b'-':
            return RuntimeError(value.decode())
        if kind == b':':
            return int(value)
        if kind == b'$':
            return None if value == b'-1' else self.file.read(int(value) + 2)[:-2]
        if kind == b'*':
            return [self.read() for _ in range(int(value))]
        return value

    def __call__(self, *args):
        return self.many([args])[0]

    def many(self, calls):
        self.socket.sendall(b''.join(map(self.encode, calls)))
        replies = [self.read() for _ in calls]
        for reply in replies:
            if isinstance(reply, RuntimeError):
                raise reply
        return replies

    def commands(self):
        """How many commands the server has run, those within scripts included."""
        lines = self('INFO', 'commandstats').decode().split('\r\n')
        return sum(int(re.search(r'calls=(\d+)', line).group(1)) for line in lines if line.startswith('cmdstat_'))


class Server:
    """A redis-server on a socket in a directory that goes with it."""

    def __enter__(self):
        self.data = tempfile.TemporaryDirectory()
        path = os.path.join(self.data.name, 'redis')
        self.process = subprocess.Popen(
            ['redis-server', '--port', '0', '--unixsocket', path, '--save', '', '--appendonly', 'no', '--dir', self.data.name],
            stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                return Redis(path)
            except OSError:
                time.sleep(0.01)
        raise RuntimeError('redis-server does not answer')

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.data.cleanup()


class Signature:
    """What the header of a script says that it takes and gives back."""

    def __init__(self, text, what):
        words = []
        for line in text.split('\n'):
            if line.startswith(f'-- {what}: '):
                words += line[len(what) + 5:].split()
        self.fields, self.rows_from = [], None
        for word in words:
            name = word.strip('[](').split(')')[0].removesuffix('...').split(':')[0]
            if word.startswith('(') or (word.endswith('...') and self.rows_from is None):
                self.rows_from = len(self.fields)
            self.fields.append(name)
        if self.rows_from is None:
            self.rows_from = len(self.fields)


class Script:
    def __init__(self, redis, text, keys):
        self.args, self.returns = Signature(text, 'args'), Signature(text, 'returns')
        self.keys = ['{t:q.0}:' + re.sub(r'^(callbacks)_', r'\1:', re.sub(r'_(\d|new|old)$', r':\1', key)) for key in keys]
        self.sha = redis('SCRIPT', 'LOAD', text.replace(TIME, VIRTUAL_TIME))


class Scripts:
    """Calls scripts by the names of their arguments.

    `spoil`: what a script says, and what it says instead, a fault that the check has to find. Tags count on a circle of
    2 ** `circle`: on a small one they go round all the time.
    """

    def __init__(self, redis, path, spoil=None, circle=CIRCLE):
        self.redis, self.now_us, self.circle = redis, 0, circle
        changes = [spoil] if spoil else []
        if circle != CIRCLE:
            changes.append((f'WRAP, TAG_OF_UNIT = 2 ^ {CIRCLE}', f'WRAP, TAG_OF_UNIT = 2 ^ {circle}'))
        with open(path) as file:
            dump = json.load(file)
        for says, instead in changes:
            if not any(says in entry['text'] for entry in dump.values()):
                raise ValueError(f'no script says {says!r}')
        # A first attempt begins so long after its claim at most: a number of the crate, which stands in the scripts.
        self.claimed_ahead_ms = int(re.search(r"s\.first \+ (\d+) or", dump['retry.keyed']['text']).group(1))
        self.scripts = {}
        for name, entry in dump.items():
            text = entry['text']
            for says, instead in changes:
                text = text.replace(says, instead)
            self.scripts[name] = Script(redis, text, entry['keys'])

    def __call__(self, verb, form='keyed', rows=(), **named):
        script = self.scripts[f'{verb}.{form}']
        names = script.args.fields[:script.args.rows_from]
        if list(named) != names:
            raise ValueError(f'{verb} takes {names}, not {list(named)}')
        width = len(script.args.fields) - script.args.rows_from
        args = [int(value) if isinstance(value, bool) else '' if value is None else value for value in named.values()]
        for row in rows:
            if verb != 'schedule' and len(row) != width:
                raise ValueError(f'{verb}: rows of {width}, not {row}')
            args += list(row)
        clock = ['MSET', 'now_s', self.now_us // 1_000_000, 'now_us', self.now_us % 1_000_000]
        reply = self.redis.many([clock, ['EVALSHA', script.sha, len(script.keys), *script.keys, *args]])[1]
        names = script.returns.fields[:script.returns.rows_from]
        told = dict(zip(names, reply))
        told['rows'] = reply[script.returns.rows_from:]
        return told
