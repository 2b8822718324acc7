"""A redis-server of its own, the few commands that are needed, and the scripts of a layout put together."""
import os, re, socket, subprocess, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = ['meta', 'records', 'states', 'leased', 'held', 'heads', 'rest', 'open', 'parked', 'waits', 'lent', 'tags', 'weights',
        'arrivals', 'used', 'flight', 'due', 'ready'] + [f'turns_{i}' for i in range(10)] + [f'rest_{i}' for i in range(16)]
LAYOUTS = ['split', 'all', 'binary', 'buckets']


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
            raise RuntimeError(value.decode())
        if kind == b':':
            return int(value)
        if kind == b'$':
            return None if value == b'-1' else self.file.read(int(value) + 2)[:-2]
        if kind == b'*':
            return [self.read() for _ in range(int(value))]
        return value

    def __call__(self, *args):
        self.socket.sendall(self.encode(args))
        return self.read()

    def many(self, calls):
        self.socket.sendall(b''.join(map(self.encode, calls)))
        return [self.read() for _ in calls]

    def info(self, section):
        lines = self('INFO', section).decode().split('\r\n')
        return dict(line.split(':', 1) for line in lines if ':' in line)

    def script_stats(self):
        """Calls and microseconds of EVALSHA, and how many commands were run in all."""
        stats = self.info('commandstats')
        parts = dict(part.split('=') for part in stats.get('cmdstat_evalsha', 'calls=0,usec=0').split(','))
        calls = sum(int(dict(p.split('=') for p in v.split(','))['calls']) for v in stats.values())
        return int(parts['calls']), int(parts['usec']), calls


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


def read(*parts):
    with open(os.path.join(HERE, *parts)) as file:
        return file.read()


class Scripts:
    """The steps of one layout, with their keys declared."""

    def __init__(self, redis, layout):
        self.redis, self.layout, self.known = redis, layout, {}

    def text(self, step):
        body = read('steps', f'{step}.lua')
        body = re.sub('^#!lua\n', '', body)

        def include(match):
            names = match.group(1).split()
            return '\n'.join(read('include', f'lanes_{self.layout}.lua' if n == 'lanes' else f'{n}.lua') for n in names)
        body = re.sub(r'-- include: (.*)', include, body)
        used = [key for key in KEYS if re.search(rf'\bK\.{key}\b', body)]
        for number, key in enumerate(used, 1):
            body = re.sub(rf'\bK\.{key}\b', f'KEYS[{number}]', body)
        return '#!lua\nlocal KEYS = KEYS\n' + body, used

    def call(self, step, *args):
        """The words of a call."""
        if step not in self.known:
            body, used = self.text(step)
            self.known[step] = self.redis('SCRIPT', 'LOAD', body), ['{t}:' + key for key in used]
        sha, keys = self.known[step]
        return ['EVALSHA', sha, len(keys), *keys, *args]

    def __call__(self, step, *args):
        return self.redis(*self.call(step, *args))
