#!/usr/bin/env python3
"""Runs the tests and counts them: `run.py quick` or `run.py all`.

Every test is an executable that speaks TAP ("ok 1 - name", "not ok 2 - name", "ok 3 - name # SKIP why"): the cmocka
binaries under BUILD/tests/unit, the scripts tests/check-*, and tests/{python,integration}/test_*.py. One that ends
with an error without saying which test failed counts as one failure. The last line is `N passed, N failed`.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
TIMEOUT_S = 900
TAP_LINE = re.compile(r"^(not ok|ok)\b\s*(\d+)?\s*-?\s*(.*)$")


def suites(which):
    """(label, command, environment) of everything that is to run, long ones first."""
    unit = sorted(p for p in glob.glob(f"{BUILD}/tests/unit/test_*") if os.access(p, os.X_OK) and not p.endswith((".o", ".d")))
    python = [sys.executable, "-B"]
    quick = [(os.path.basename(p), [p], {}) for p in unit]
    quick += [(os.path.basename(p), [p], {}) for p in sorted(glob.glob(f"{ROOT}/tests/check-*"))]
    quick += [(os.path.basename(p), python + [p], {}) for p in sorted(glob.glob(f"{ROOT}/tests/python/test_*.py"))]
    if which == "quick":
        return quick
    long = [(os.path.basename(p), python + [p], {}) for p in sorted(glob.glob(f"{ROOT}/tests/integration/test_*.py"))]
    sanitized = sorted(p for p in glob.glob(f"{BUILD}/sanitize/tests/unit/test_*") if os.access(p, os.X_OK) and not p.endswith((".o", ".d")))
    return long + quick + [(os.path.basename(p) + " (sanitized)", [p], {}) for p in sanitized]


def run(suite):
    label, command, extra = suite
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", BUILD=BUILD, **extra)
    started = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=TIMEOUT_S)
        output, code = done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode("utf-8", "replace") + f"\nended after {TIMEOUT_S} s\n"
        code = -1
    passed = failed = skipped = 0
    for line in output.splitlines():
        match = TAP_LINE.match(line)
        if not match:
            continue
        if "# SKIP" in line.upper():  # cmocka writes "not ok 9 # SKIP name"
            skipped += 1
        elif match.group(1) == "not ok":
            failed += 1
        else:
            passed += 1
    if (code != 0 and failed == 0) or passed + failed + skipped == 0:
        failed += 1
    return label, passed, failed, skipped, code, output, time.monotonic() - started


def main():
    which = sys.argv[1] if len(sys.argv) > 1 else "all"
    totals = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as pool:
        for label, passed, failed, skipped, code, output, seconds in pool.map(run, suites(which)):
            verdict = "FAIL" if failed else "ok"
            print(f"{verdict:4} {label}: {passed} passed" + (f", {failed} failed" if failed else "")
                  + (f", {skipped} skipped" if skipped else "") + f" ({seconds:.1f} s)", flush=True)
            if failed:
                print("".join(f"     {line}\n" for line in output.splitlines()[-80:]), end="")
                print(f"     exit code {code}", flush=True)
            for i, n in enumerate((passed, failed, skipped)):
                totals[i] += n
    print(f"{totals[0]} passed, {totals[1]} failed" + (f", {totals[2]} skipped" if totals[2] else ""))
    return 1 if totals[1] or not totals[0] else 0


if __name__ == "__main__":
    sys.exit(main())
