# SPDX-License-Identifier: BSD-3-Clause
"""What include/vmig/uapi.h and the kernel's headers define, for tests/uapi/check-uapi and scripts/header-sync.

Ours is read by its own conventions (see uapi.h): names by rule, and "Linux X.Y" comments for the first release.
Theirs is read by the preprocessor, for what a program would see."""
import os
import re
import subprocess

CC = os.environ.get("CC", "gcc").split()
OUR_HEADERS = ["uapi.h", "uapi_iommufd.h"]
KERNEL = "#include <linux/vfio.h>\n#if __has_include(<linux/iommufd.h>)\n#include <linux/iommufd.h>\n#endif\n"
HELPERS = {"VMIG_UAPI_U64", "VMIG_UAPI_GONE"}  # of the header itself
# Until 5.17 these were bits of v1's register; since 5.18 they are states of v2.
REUSED = {"VFIO_DEVICE_STATE_STOP", "VFIO_DEVICE_STATE_RUNNING", "VFIO_DEVICE_STATE_RESUMING"}


def kernels_name(name):
    """The kernel's name for one of ours, macro or struct."""
    for ours, theirs in (("VMIG_UAPI_IOMMUFD_", "IOMMU_"), ("VMIG_UAPI_", "VFIO_"),
                         ("vmig_uapi_iommufd_", "iommu_"), ("vmig_uapi_", "vfio_")):
        if name.startswith(ours):
            return theirs + name[len(ours):]
    raise ValueError(name)


class Definition:
    """A macro, a struct or (name "struct.field") a field of one of ours."""

    def __init__(self, kind, name, since, provisional, where):
        self.kind, self.name, self.since, self.provisional, self.where = kind, name, since, provisional, where
        self.stable = None  # a release whose stable branch got it later


def _since(line, current):
    inline = re.search(r"\S.*/\* Linux (\d+)\.(\d+)", line)
    return (int(inline[1]), int(inline[2])) if inline else current


def _stable(line):
    later = re.search(r"/\* Linux \d+\.\d+, stable (\d+)\.(\d+)", line)
    return (int(later[1]), int(later[2])) if later else None


def _read(path):
    current, struct, provisional = None, None, False
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        where = f"{os.path.basename(path)}:{number}"
        start = re.match(r"/\* (?:Linux (\d+)\.(\d+)|---)", line)
        if start:
            current = (int(start[1]), int(start[2])) if start[1] else None
        elif line.startswith("#ifdef VMIG_UAPI_PROVISIONAL"):
            provisional = True
        elif line.startswith("#endif"):
            provisional = False
        macro = re.match(r"#define (VMIG_UAPI_\w+)(\(\w+\))?[ \t]+\S", line)
        if macro and macro[1] not in HELPERS:
            yield Definition("function" if macro[2] else "macro", macro[1], _since(line, current), provisional, where)
        opened = re.match(r"struct (vmig_uapi_\w+) \{", line)
        if opened:
            struct = opened[1]
            yield Definition("struct", struct, _since(line, current), provisional, where)
        elif line.startswith("}"):
            struct = None
        elif struct:
            field = re.match(r"\s+[\w\s*]*?(\w+)(?:\[\d+\])?;", line)
            if field:
                d = Definition("field", f"{struct}.{field[1]}", _since(line, current), provisional, where)
                d.stable = _stable(line)
                yield d


def ours(root):
    """All that our headers define."""
    return [d for h in OUR_HEADERS for d in _read(os.path.join(root, "include/vmig", h))]


def include_flags(root, folder):
    return ["-I" + os.path.join(root, "include")] + (["-isystem", folder] if folder else [])


def preprocess(text, flags, *more):
    return subprocess.run(CC + ["-E", *more, *flags, "-xc", "-"], input=text, capture_output=True, text=True,
                          check=True).stdout


def version(folder):
    """(major, minor, patch) of a folder of kernel headers, or None."""
    try:
        code = preprocess("#include <linux/version.h>\nLINUX_VERSION_CODE\n", include_flags(".", folder), "-P").split()[-1]
        return int(code) >> 16, int(code) >> 8 & 255, int(code) & 255
    except (subprocess.CalledProcessError, ValueError, IndexError):
        return None


class Kernel:
    """What the kernel's headers in a folder (None: the system's), or in the files given, define."""

    def __init__(self, root, folder=None, files=None):
        self.flags = include_flags(root, folder)
        self.include = "".join(f'#include "{os.path.abspath(f)}"\n' for f in files) if files else KERNEL
        flat = preprocess(self.include, self.flags, "-P")
        self.enumerators = set()
        for body in re.findall(r"enum[^{;]*\{([^}]*)\}", flat):
            self.enumerators |= set(re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", body.strip()))
        self.macros = dict(re.findall(r"^#define (\w+)(?:\(\w+\))? ?(.*)$", preprocess(self.include, self.flags, "-dM"),
                                      re.M))
        self.structs = {}
        text = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", "", flat)
        for name, body in re.findall(r"\bstruct (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}", text):
            self.structs[name] = re.findall(r"(\w+)(?:\[\w+\])?\s*;", body)  # an array without a length is left out

    def has(self, name):
        return name in self.enumerators or name in self.macros

    def names(self):
        """All that is VFIO's or iommufd's own: macros, enumerators, structs, and fields as struct.field."""
        own = re.compile(r"_{0,2}(VFIO|IOMMUFD?)_\w+$")
        values = {n for n in self.enumerators if own.match(n)}
        values |= {n for n, text in self.macros.items() if own.match(n) and text}
        structs = {n for n in self.structs if re.match(r"(vfio|iommufd?)_", n)}
        fields = {f"{n}.{f}" for n in structs for f in self.structs[n] if not re.match(r"_*(reserved|resv|pad)", f)}
        return values, structs, fields
