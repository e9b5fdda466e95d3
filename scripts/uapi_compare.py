# SPDX-License-Identifier: BSD-3-Clause
"""Compares include/vmig/uapi.h with a kernel's headers, by a program that the compiler makes of both."""
import os
import subprocess
import tempfile

import uapi_headers as uapi

# Bits of the register that the three macros of v1 are asked about, with reserved bits among them.
V1_STATES = "0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 0x80000001u, 0xfffffff8u, 0xffffffffu"


def field_of(kernel, struct, field):
    """The kernel's name of a field; reserved ones are named otherwise. None: it has no such field."""
    for name in (field, "__" + field) if field.startswith("reserved") else (field,):
        if name in kernel.structs.get(struct, ()):
            return name
    return None


def compare_field(kernel, d):
    struct, field = d.name.split(".")
    theirs = uapi.kernels_name(struct)
    their = field_of(kernel, theirs, field)
    if not their:
        return [f'puts("absent {d.name}");']
    return [f'same("{d.name}", offsetof(struct {struct}, {field}), offsetof(struct {theirs}, {their}));',
            f'same("sizeof({d.name})", FIELD({struct}, {field}), FIELD({theirs}, {their}));']


def compare_struct(kernel, d, fields):
    theirs = uapi.kernels_name(d.name)
    if theirs not in kernel.structs:
        return [f'puts("absent {d.name}");']
    # A struct that says its own size grows with the kernel: then its fields are all there is to compare.
    sized = fields[0] in ("argsz", "size")
    line = f'same("sizeof({d.name})", sizeof(struct {d.name}), sizeof(struct {theirs}));'
    return [f'puts("same {d.name}");' if sized else line]


def compare_macro(kernel, name, theirs, old):
    if theirs in uapi.REUSED and old:
        return [f'puts("reused {name}");']
    if not kernel.has(theirs):
        return [f'puts("absent {name}");']
    return [f'same("{name}", (unsigned)({name}), (unsigned)({theirs}));']


def compare_function(kernel, d):
    theirs = uapi.kernels_name(d.name)
    if theirs not in kernel.macros:
        return [f'puts("absent {d.name}");']
    if "SATE" in kernel.macros[theirs]:  # up to 5.17, with a typo: no program can have used it
        return [f'puts("typo {d.name}");']
    return [f"for (unsigned i = 0; i < sizeof(v1) / sizeof(v1[0]); i++) "
            f'same("{d.name}", (unsigned){d.name}(v1[i]), (unsigned){theirs}(v1[i]));']


def program(root, kernel, release, more=()):
    """C that prints 'same NAME', 'differs NAME OURS THEIRS', 'absent NAME', ... for each thing to compare."""
    out = ["#include <stdio.h>\n#include <stddef.h>\n" + kernel.include + "#include <vmig/uapi.h>\n#include <vmig/device.h>",
           "static void same(const char *n, unsigned long long a, unsigned long long b) {",
           'if (a == b) printf("same %s\\n", n); else printf("differs %s: %llu, the kernel %llu\\n", n, a, b); }',
           "#define FIELD(s, f) sizeof(((struct s *)0)->f)", "int main(void) {",
           f"static const unsigned v1[] = {{ {V1_STATES} }}; (void)v1;"]
    definitions = uapi.ours(root)
    old = release and release < (5, 18)
    for d in definitions:
        if d.kind == "macro":
            out += compare_macro(kernel, d.name, uapi.kernels_name(d.name), old)
        elif d.kind == "function":
            out += compare_function(kernel, d)
        elif d.kind == "field":
            out += compare_field(kernel, d)
        else:
            out += compare_struct(kernel, d, [f.name.split(".")[1] for f in definitions
                                              if f.name.startswith(d.name + ".")])
    for name, theirs in more:
        out += compare_macro(kernel, name, theirs, old)
    return "\n".join(out + ["return 0; }"])


def run(root, kernel, release, more=()):
    """(names by kind, differences, compiler's errors); kinds are same, absent, reused, typo. @more: (our name, theirs)."""
    with tempfile.TemporaryDirectory() as work:
        source, binary = os.path.join(work, "t.c"), os.path.join(work, "t")
        with open(source, "w", encoding="utf-8") as f:
            f.write(program(root, kernel, release, more))
        done = subprocess.run(uapi.CC + ["-std=gnu11", *kernel.flags, "-o", binary, source], capture_output=True, text=True)
        if done.returncode:
            return {}, [], done.stderr.splitlines()[:20]
        lines = subprocess.run([binary], capture_output=True, text=True, check=True).stdout.splitlines()
    names = {kind: [line.split()[1] for line in lines if line.split()[0] == kind]
             for kind in ("same", "absent", "reused", "typo")}
    return names, [line[len("differs "):] for line in lines if line.startswith("differs")], []
