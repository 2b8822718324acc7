"""Holds the scripts of queues with keys against a model: stories with a known end, then random steps in random queues.

    python3 check.py scripts.json --seconds 30
    python3 check.py scripts.json --seed 17 --kind plain
    python3 check.py scripts.json --faults 99
    TIDEGATE_LANES='--seed 17 --kind plain' cargo test --features failpoints --test it random_steps_agree_with_the_model

tests/it/store/lanes.rs calls it with the scripts as the crate puts them together. docs/lanes.md says what they have to keep.
"""
import argparse, json, random, sys, time
sys.dont_write_bytecode = True
from faults import FAULTS, RARE
from model import Model
from run import Run
from scripts import CIRCLE, Scripts, Server
from stories import tell

# How often each kind of queue comes: see Run.KINDS.
KINDS = dict(plain=8, granted=4, values=4, keys=4, doubt=4, switch=4, careless=2, damaged=4, back=1, all=2)
# A small circle for tags: they go round all the time.
SMALL = 25
STEPS = 150
# Queues that have shown a fault once: what it was, with seed and kind.
FOUND = [
    ('a free lane of order would wait for ever', 22900003, 'damaged'), ('a mended lane does not know of its rest', 22900014, 'damaged'),
    ('the model gives units back to a period that is over and gone', 29284010, 'doubt'),
]
# On a machine so busy that the stories take all the time.
QUEUES_MIN = 4


def check(redis, scripts, seed, kind, steps=STEPS):
    """One queue. Raises what it found, with how to see it again."""
    run = None
    try:
        run = Run(redis, scripts, seed, kind=kind, model_of=Model if kind in ('plain', 'granted', 'values', 'keys', 'doubt', 'switch') else None)
        run.all(steps)
    except Exception as fault:
        where = f'--seed {seed} --kind {kind} --circle {scripts.circle}, step {run and run.at}'
        raise AssertionError(f'{where}: {type(fault).__name__}: {fault}\n{run and run.s}') from fault
    return run


def kind_of(seed):
    return random.Random(seed).choices(list(KINDS), list(KINDS.values()))[0]


def check_for(redis, path, seconds, first):
    scripts = [Scripts(redis, path), Scripts(redis, path, circle=SMALL)]
    ended, seed = time.monotonic() + seconds, first
    stories = tell(redis, scripts)
    while time.monotonic() < ended or seed < first + QUEUES_MIN:
        check(redis, scripts[seed % 4 == 0], seed, kind_of(seed))
        seed += 1
    print(f'{stories} stories, and {STEPS * (seed - first)} steps in {seed - first} queues: the scripts did what the model did')


def check_found(redis, path):
    scripts = Scripts(redis, path)
    for what, seed, kind in FOUND:
        try:
            check(redis, scripts, seed, kind)
        except AssertionError as fault:
            raise AssertionError(f'again: {what}: {fault}') from fault


def find_faults(redis, path, count, first):
    """Each fault has to be found by one of some queues."""
    texts = [script['text'] for script in json.load(open(path)).values()]
    missing = [name for name, says, _, _ in FAULTS if not any(says in text for text in texts)]
    assert not missing, f'no script says any more what is to be spoilt: {missing}'
    # Of a few those that nearly every queue shows: the others take minutes on a busy machine.
    among = FAULTS if count >= len(FAULTS) else [fault for fault in FAULTS if fault[0] not in RARE]
    for name, says, instead, kind in random.Random(first).sample(among, min(count, len(among))):
        scripts = Scripts(redis, path, (says, instead))
        for seed in range(first, first + 60):
            try:
                check(redis, scripts, seed, kind)
            except AssertionError as found:
                print(f'{name}: found after {seed - first + 1} queues: {str(found).splitlines()[0][:200]}')
                break
        else:
            raise AssertionError(f'the fault is not found: {name}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('scripts')
    parser.add_argument('--seconds', type=float, default=15)
    parser.add_argument('--seed', type=int)
    parser.add_argument('--kind', choices=KINDS)
    parser.add_argument('--circle', type=int, default=CIRCLE)
    parser.add_argument('--found', action='store_true', help='the queues that have shown a fault once')
    parser.add_argument('--faults', type=int, default=0, help='how many planted faults have to be found')
    args = parser.parse_args()
    first = int(time.time()) % 1_000_000 * 1000
    with Server() as redis:
        if args.faults:
            return find_faults(redis, args.scripts, args.faults, first)
        if args.found:
            return check_found(redis, args.scripts)
        if args.seed is None:
            return check_for(redis, args.scripts, args.seconds, first)
        check(redis, Scripts(redis, args.scripts, circle=args.circle), args.seed, args.kind or kind_of(args.seed))


if __name__ == '__main__':
    main()
