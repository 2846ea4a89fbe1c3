"""The running kernel's type information (https://docs.kernel.org/bpf/btf.html) with one thing changed, on standard output.

    btf.py rename NAME NAME             a type gets another name, as long as its own
    btf.py move STRUCT MEMBER BYTES     a member lies elsewhere
"""
import struct, sys

# How many bytes follow a type, by its kind: fixed, and for each of its members.
TAILS = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12), 17: (4, 0), 19: (0, 12)}
STRUCT = 4

btf = bytearray(open("/sys/kernel/btf/vmlinux", "rb").read())
_, _, _, header, types, types_bytes, texts, _ = struct.unpack_from("=HBBIIIII", btf)
types, texts = header + types, header + texts


def text(offset):
    return bytes(btf[texts + offset:btf.index(0, texts + offset)]).decode()


def members(structure):
    """The places of the members' entries."""
    at = types
    while at < types + types_bytes:
        name, info, _ = struct.unpack_from("=III", btf, at)
        kind, count = info >> 24 & 31, info & 0xFFFF
        fixed, each = TAILS.get(kind, (0, 0))
        if kind == STRUCT and text(name) == structure:
            return [at + 12 + 12 * number for number in range(count)]
        at += 12 + fixed + each * count
    raise KeyError(structure)


def move(structure, member, distance):
    for at in members(structure):
        name, _, place = struct.unpack_from("=III", btf, at)
        if text(name) == member:
            return struct.pack_into("=I", btf, at + 8, place + 8 * int(distance))
    raise KeyError(member)


def rename(before, after):
    old, new = (b"\0" + name.encode() + b"\0" for name in (before, after))
    assert len(old) == len(new)
    at = btf.index(old, texts)
    btf[at:at + len(new)] = new


{"move": move, "rename": rename}[sys.argv[1]](*sys.argv[2:])
sys.stdout.buffer.write(btf)
