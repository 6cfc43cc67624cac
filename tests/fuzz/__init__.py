"""Damaged files, odd suites and odd command lines by the thousand: each must succeed, or end in one line and no traces.

`python -m tests.fuzz --cases 10000 --seed 1` tries as many; `--only 1234 --seed 1 --keep DIR` repeats one of them.
Every case follows from the seed and its number alone.
"""
