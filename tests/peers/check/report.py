#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""report.py [--write] GOLDEN CONSOLE WANTED... : the reports of `vmig check --json` on a guest's console against what they
were. A line "@@ report NAME/MODE STATUS BASE64" (of a gzip) is one; GOLDEN/NAME.txt is what it shall be, in every mode.
WANTED are the reports that must be there; others are not looked at. --write: make the files instead. Emits TAP without numbers.
report.py --quotes GOLDEN DOCUMENT: what a document quotes ("```report NAME") is in GOLDEN/NAME.txt.
A check that is newer than the file and found nothing is told, and is no failure; whatever else differs is one."""
import base64
import gzip
import json
import os
import re
import sys

FINDINGS = ("fail", "observation", "hang", "error")


def reports(console):
    for line in open(console, encoding="utf-8", errors="replace"):
        m = re.match(r"@@ report (\S+) (\d+) (\S+)$", line.strip())
        if m:
            yield m[1], int(m[2]), m[3]


def block(check, names):
    """A check of a report as lines. What differs from run to run is not in them."""
    lines = [f"{check['verdict']:15} {check['id']}"]
    if check["verdict"] in FINDINGS:
        lines[0] = f"{lines[0]:48} {', '.join(check['clauses'])}"
        for word in ("did", "saw", "expected"):
            text = check.get(word) or ""
            for spec, name in names:
                text = text.replace(spec, name)
            lines.append(f"    {word:9} {text}".rstrip())
    elif check["verdict"] != "pass":
        lines.append(f"    {check.get('saw') or ''}")
    return lines


def is_of_another_way(check):
    """Of v1, or of vfio-user: nothing to say here."""
    return check["verdict"] == "not applicable" and (check.get("saw") or "").startswith("the device is not reached by")


def blocks(report):
    names = [(report["device"], "DEVICE"), (report.get("second") or "no second", "SECOND")]
    return {check["id"]: block(check, names) for check in report["checks"] if not is_of_another_way(check)}


def read_golden(path):
    found = {}
    for line in open(path, encoding="utf-8").read().splitlines():
        if not line.startswith((" ", "#")) and line:
            current = found.setdefault(line[16:48].split()[0], [])
        if not line.startswith("#") and line:
            current.append(line)
    return found


def write_golden(path, name, status, is_now):
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"# vmig check --second: {name}, exit status {status}. Made by tests/peers/check/report.py --write.\n")
        f.writelines(line + "\n" for lines in is_now.values() for line in lines)


def differences(golden, is_now):
    for check, lines in golden.items():
        now = is_now.get(check, ["(there is no such check)"])
        if now != lines:
            yield from [f"was {line}" for line in lines] + [f"is  {line}" for line in now]
    for check, lines in is_now.items():
        if check not in golden and lines[0].split()[0] in FINDINGS:
            yield from [f"new {line}" for line in lines]


def golden_status(path):
    return int(re.search(r"exit status (\d+)", open(path, encoding="utf-8").readline())[1])


def compare(path, status, is_now):
    if not os.path.exists(path):
        return [f"there is no {path}"]
    golden = read_golden(path)
    newer = [check for check in is_now if check not in golden]
    if newer:
        print(f"# newer than {os.path.basename(path)}: {', '.join(newer)}")
    found = list(differences(golden, is_now))
    if status != golden_status(path):
        found.append(f"exit status {status}, not {golden_status(path)}")
    return found


def quotes(folder, document):
    """Each quoted line must be there, and the lines of one block in the order of the file."""
    text, bad, n = open(document, encoding="utf-8").read(), [], 0
    for name, quoted in re.findall(r"^```report (\S+)\n(.*?)^```$", text, re.M | re.S):
        lines = iter(open(os.path.join(folder, name + ".txt"), encoding="utf-8").read().splitlines())
        n += 1
        bad += [f"{name}.txt has not, or not there: {line}" for line in quoted.splitlines() if line not in lines]
    for line in bad:
        print(f"# {line}")
    print(f"{'ok' if n and not bad else 'not ok'} - check.{os.path.basename(document)}_quotes_what_is_found")
    return 0


def main(argv):
    if argv[1] == "--quotes":
        return quotes(*argv[2:])
    write = "--write" in argv
    folder, console, *wanted = [a for a in argv[1:] if a != "--write"]
    seen = set()
    for full, status, data in reports(console):
        if full not in wanted:
            continue
        name = full.split("/")[0]
        path = os.path.join(folder, name + ".txt")
        try:
            is_now = blocks(json.loads(gzip.decompress(base64.b64decode(data))))
        except (ValueError, OSError, EOFError, KeyError) as error:
            is_now, found = {}, [f"no report: status {status}, {error}"]
        else:
            if write and name not in {n.split("/")[0] for n in seen}:
                write_golden(path, name, status, is_now)
            found = compare(path, status, is_now)
        seen.add(full)
        for line in found:
            print(f"# {line}")
        print(f"{'not ok' if found else 'ok'} - check.{full.replace('/', '.')}_is_as_it_was")
    for full in wanted:
        if full not in seen:
            print(f"not ok - check.{full.replace('/', '.')}_is_as_it_was")
    return 0


sys.exit(main(sys.argv))
