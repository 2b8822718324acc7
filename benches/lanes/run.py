"""An index of lanes for queues with keys: order, shares and limits by key. Bare scripts, without anything else of Tidegate.

    python3 benches/lanes/run.py            # measures, and prints the tables
    python3 benches/lanes/run.py --check    # compares the scripts with a model in plain Python, in virtual time
    python3 benches/lanes/run.py --check --seed 17

It starts a redis-server of its own. docs/lanes.md describes the index, docs/measurements.md what came out.
"""
import argparse, sys, time
sys.dont_write_bytecode = True
from check import check
from redis_wire import LAYOUTS, Server
from stories import tell


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--first', type=int, default=1)
    parser.add_argument('--seconds', type=float, default=15)
    parser.add_argument('--only', default='')
    parser.add_argument('--scale', type=float, default=1)
    args = parser.parse_args()
    with Server() as redis:
        if not args.check:
            from measure import measure
            return measure(redis, args.only.split(',') if args.only else None, args.scale)
        steps, queues, stories = 0, 0, tell(redis, LAYOUTS[0])
        seed, ended = args.seed or args.first, time.monotonic() + args.seconds
        while time.monotonic() < ended:
            steps += check(redis, LAYOUTS[seed % len(LAYOUTS)], seed, 250)
            queues += 1
            if args.seed:
                break
            seed += 1
        print(f'{stories} stories, and {steps} steps in {queues} queues: the scripts chose what the model chose')


if __name__ == '__main__':
    main()
