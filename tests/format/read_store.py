#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second reader of Cairn's stores, written from fs/store/FORMAT.md alone; it shares no code with Cairn.
Each heading and function names the section of that document that it follows.

  read_store.py STORE KEY list                          the points: MACHINE@POINT DISK SIZE, and "deleted" if it is
  read_store.py STORE KEY labels                        MACHINE@POINT DISK CONSISTENCY, and "suspect" if it is, in the order
                                                        in which the points of each machine were written
  read_store.py STORE KEY write MACHINE@POINT DISK OUT  one disk into the new file OUT, sparse
  KEY: --key-file FILE | --recovery-key FILE | --passphrase-file FILE   (-: standard input)

It needs store.json, packs/ and points/ only, and no index; it changes nothing. The store's bytes are not trusted: what
does not authenticate, or has a length that cannot be, ends in a line on stderr that names the object, and exit code 1.
There is no BLAKE3 in Debian's Python, so these are not checked: the names of packs (b3sum does: cd packs && b3sum */*)
and of records (their seal vouches for them), and `previous` of points. It takes about 300 bytes of memory a record.

AES-256-GCM is from Debian's python3-cryptography. What that has not (Argon2id, XChaCha20-Poly1305, sealed boxes) is
called in libsodium, and zstd, which Python 3.11 has not, in libzstd, through ctypes: Cairn needs both libraries itself.
(The program `zstd` would be one process for each chunk.)
"""
import argparse
import base64
import ctypes
import errno
import hashlib
import json
import os
import re
import signal
import stat
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sodium = ctypes.CDLL("libsodium.so.23")
zstd = ctypes.CDLL("libzstd.so.1")
BYTES, SIZE, LONG = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_ulonglong
sodium.crypto_pwhash.argtypes = [BYTES, LONG, BYTES, LONG, BYTES, LONG, SIZE, ctypes.c_int]
sodium.crypto_aead_xchacha20poly1305_ietf_decrypt.argtypes = [BYTES] * 4 + [LONG, BYTES, LONG, BYTES, BYTES]
sodium.crypto_scalarmult_base.argtypes = [BYTES, BYTES]
sodium.crypto_box_seal_open.argtypes = [BYTES, BYTES, LONG, BYTES, BYTES]
zstd.ZSTD_decompress.argtypes, zstd.ZSTD_decompress.restype = [BYTES, SIZE, BYTES, SIZE], SIZE
sodium.sodium_init()

MiB = 1 << 20
TAG = 16
SECTION = 4096
ARGON2ID13 = 2  # crypto_pwhash_ALG_ARGON2ID13
NAMES_OF_NODE = 1024
ZERO_NAME = bytes(32)
CHUNK, NODE = 1, 2
PLAIN, ZSTD, SECTIONS = 0, 1, 2
NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
POINT_NAME = re.compile(f"({NAME})@([0-9]{{8}}T[0-9]{{6}}Z)")


class Damaged(Exception):
    """Bytes that are not as FORMAT.md says, or a key that does not fit."""


def warn(text):
    print("read_store: " + "".join(c if c.isprintable() else "?" for c in str(text)), file=sys.stderr, flush=True)


# --- Files, and JSON in them ------------------------------------------------------------------------------------------
# Names are opened below the store's folder, part by part: whoever can write to it may have put a link anywhere.
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def open_below(root, name, flags):
    """A descriptor; `root` is one of a folder, `name` is relative. No part of it may be a symbolic link."""
    *folders, last = name.split("/")
    at = os.dup(root)
    try:
        for folder in folders:
            above, at = at, os.open(folder, READ | os.O_DIRECTORY, dir_fd=at)
            os.close(above)
        return os.open(last, READ | flags, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Damaged(f"{name}: a symbolic link, or not a folder, is in its path") from None
        raise
    finally:
        os.close(at)


def is_there(root, name):
    """Whatever it is."""
    folder, last = name.split("/")
    try:
        at = open_below(root, folder, os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    try:
        os.stat(last, dir_fd=at, follow_symlinks=False)
        return True
    except FileNotFoundError:
        return False
    finally:
        os.close(at)


def names_in(root, folder):
    at = open_below(root, folder, os.O_DIRECTORY)
    try:
        return sorted(os.listdir(at))
    finally:
        os.close(at)


def open_file(root, name):
    fd = open_below(root, name, 0)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Damaged("not a regular file")
    return open(fd, "rb", buffering=0)


def exactly(file, offset, length):
    data = os.pread(file.fileno(), length, offset)
    if len(data) != length:
        raise Damaged("it ends early")
    return data


def read_file(root, name, most):
    with open_file(root, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise Damaged(f"larger than {most:,} bytes")
        return exactly(file, 0, size)


def parse_json(data, form):
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise Damaged("not JSON") from None
    if member(document, "format", str) != form or member(document, "version", int) != 1:
        raise Damaged(f"not a {form} of version 1")
    return document


def member(document, key, kind):
    value = document.get(key) if isinstance(document, dict) else None
    if type(value) is not kind:
        raise Damaged(f"no {key} that is a {kind.__name__}")
    return value


def hex_member(document, key, length):
    text = member(document, key, str)
    if not re.fullmatch("[0-9a-f]{%d}" % (2 * length), text):
        raise Damaged(f"{key} is not {length} bytes in hex")
    return bytes.fromhex(text)


# --- Keys -------------------------------------------------------------------------------------------------------------
def blake2b(data, key, length=32):
    return hashlib.blake2b(data, key=key, digest_size=length).digest()


def derived_key(master, number):
    """libsodium's crypto_kdf_derive_from_key: BLAKE2b of no bytes."""
    return hashlib.blake2b(key=master, digest_size=32, salt=struct.pack("<Q", number), person=b"cairn-v1").digest()


def open_xchacha(key, nonce, sealed, context):
    """The plain bytes; None when the tag is wrong."""
    plain = ctypes.create_string_buffer(max(len(sealed) - TAG, 0) + 1)
    failed = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
        plain, None, None, sealed, len(sealed), context, len(context), nonce, key)
    return None if failed else plain.raw[:-1]


class Seal:
    """What the sealing key of one pack or sealed document opens."""

    def __init__(self, algorithm, kind_key, salt):
        if algorithm not in (1, 2):
            raise Damaged(f"algorithm {algorithm} is not known")
        self.key = blake2b(salt, kind_key)
        self.aes = AESGCM(self.key) if algorithm == 1 else None

    def open(self, record, section, sealed, context):
        """The plain bytes; None when the tag is wrong."""
        nonce = struct.pack("<II", record, section)
        if not self.aes:
            return open_xchacha(self.key, nonce.ljust(24, b"\0"), sealed, context)
        try:
            return self.aes.decrypt(nonce.ljust(12, b"\0"), sealed, context)
        except InvalidTag:
            return None


# --- store.json: the slots --------------------------------------------------------------------------------------------
# A key is the type of its slots, and a function from a slot to the master key; None when it does not open.
def key_file(data):
    return "key-file", lambda slot: open_slot(slot, blake2b(data, hex_member(slot, "salt", 16)))


def passphrase(data):
    data = data[:-1] if data.endswith(b"\n") else data

    def master_key(slot):
        costs, key = member(slot, "argon2id", dict), ctypes.create_string_buffer(32)
        operations, memory = member(costs, "operations", int), member(costs, "memory_bytes", int)
        if not 1 <= operations <= 64 or not 8192 <= memory <= 4096 * MiB:
            raise Damaged(f"Argon2id with {operations} operations and {memory} bytes is refused")
        if sodium.crypto_pwhash(key, 32, data, len(data), hex_member(slot, "salt", 16), operations, memory, ARGON2ID13):
            raise Damaged(f"Argon2id does not get its {memory:,} bytes of memory")
        return open_slot(slot, key.raw)

    return "passphrase", master_key


def recovery_key(data):
    text = re.sub(r"[\s-]", "", data.decode("ascii", "replace")).upper().removeprefix("CAIRNRECOVERY")
    raw = base64.b32decode(text) if re.fullmatch("[A-Z2-7]{56}", text) else b""
    secret, public, master = raw[:32], ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    if not raw or blake2b(secret, b"CAIRN-RECOVERY", 16)[:3] != raw[32:]:
        raise Damaged("this is no recovery key, or it has typing errors")
    sodium.crypto_scalarmult_base(public, secret)

    def master_key(slot):
        if hex_member(slot, "recovery_public", 32) != public.raw:
            return None
        sealed = hex_member(slot, "wrapped", 48 + 32)
        return None if sodium.crypto_box_seal_open(master, sealed, len(sealed), public.raw, secret) else master.raw

    return "recovery", master_key


def open_slot(slot, wrapping_key):
    wrapped = hex_member(slot, "wrapped", 24 + 32 + TAG)
    context = f"cairn key slot {hex_member(slot, 'id', 4).hex()} {slot['type']}"
    return open_xchacha(wrapping_key, wrapped[:24], wrapped[24:], context.encode())


# --- store.json: the document -----------------------------------------------------------------------------------------
def read_store_json(root, name):
    """The document; None when it cannot be read or is none."""
    try:
        document = parse_json(read_file(root, name, 16 * MiB), "cairn-store")
        hex_member(document, "id", 16), hex_member(document, "mac", 32)
        for slot in member(document, "slots", list):
            member(slot, "type", str)
        chunk_size = member(document, "chunk_size", int)
        if chunk_size & (chunk_size - 1) or not 65536 <= chunk_size <= 4 * MiB:
            raise Damaged(f"chunk_size is {chunk_size}")
        return document
    except (Damaged, OSError) as error:
        warn(f"{name}: {error}")
        return None


def is_authentic(document, master):
    rest = {key: value for key, value in document.items() if key != "mac"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return blake2b(text.encode(), derived_key(master, 5)) == hex_member(document, "mac", 32)


def master_keys(document, name, key):
    """What the slots of the key's type give, of a document that may be forged."""
    key_type, master_key = key
    for slot in document["slots"]:
        try:
            master = master_key(slot) if slot["type"] == key_type else None
        except Damaged as error:
            master = warn(f"{name}: a key slot: {error}")
        if master:
            yield master


def unlock(root, key):
    """The document and the master key; from the copy only when store.json is not authentic."""
    first = read_store_json(root, "store.json")
    for master in master_keys(first, "store.json", key) if first else []:
        if is_authentic(first, master):
            return first, master
        warn("store.json: its mac is wrong")
    copy = read_store_json(root, "store.json.copy")
    for master in master_keys(copy, "store.json.copy", key) if copy else []:
        if is_authentic(copy, master) and not (first and is_authentic(first, master)):
            return copy, master
    raise Damaged("store.json: no key slot opens with this key; the key is wrong, or this file and its copy are")


# --- Pack -------------------------------------------------------------------------------------------------------------
class Pack:
    def __init__(self, root, name, path, store_id, packs_key):
        """Reads header, trailer and footer. `path` is for messages."""
        self.root, self.name, self.path = root, name, path
        with open_file(root, name) as file:
            size = os.fstat(file.fileno()).st_size
            if not 64 + TAG + 32 <= size < 256 * MiB:
                raise Damaged(f"{size:,} bytes are no size of a pack")
            magic, version, algorithm, store, salt = struct.unpack("<8sII16s32s", exactly(file, 0, 64))
            if magic != b"CAIRNPK\n" or version not in (1, 2) or store != store_id:
                raise Damaged("its header is damaged, or of another store")
            self.footer_at, length, self.count, magic, zero = struct.unpack("<QII8sQ", exactly(file, size - 32, 32))
            if magic != b"CAIRNEND" or zero or length != self.count * 48 + TAG or self.footer_at + length + 32 != size:
                raise Damaged("its trailer is damaged")
            self.seal = Seal(algorithm, packs_key, salt)
            self.footer = self.seal.open(self.count, 0, exactly(file, self.footer_at, length), b"cairn pack footer")
            if self.footer is None:
                raise Damaged("its footer does not authenticate")

    def entry(self, number):
        return self.footer[number * 48:number * 48 + 48]

    def record(self, number, wanted_kind, wanted_length):
        """The decoded bytes."""
        entry, where = self.entry(number), f"{self.path}: record {number}"
        offset, length, raw_length, kind, encoding = struct.unpack("<IIIBB", entry[32:46])
        if kind != wanted_kind or raw_length != wanted_length:
            raise Damaged(f"{where} has kind {kind} and {raw_length} bytes, not {wanted_kind} and {wanted_length}")
        pieces = -(-raw_length // SECTION) if encoding == SECTIONS else 1
        if encoding not in (PLAIN, ZSTD, SECTIONS) or encoding != ZSTD and length != raw_length + pieces * TAG:
            raise Damaged(f"{where} has encoding {encoding} and {length} bytes, which cannot be")
        if offset < 64 or offset + length > self.footer_at or raw_length > 4 * MiB:
            raise Damaged(f"{where} lies outside of the pack's records, or is too large")
        with open_file(self.root, self.name) as file:
            sealed = exactly(file, offset, length)
        step = SECTION + TAG if encoding == SECTIONS else length
        parts = [self.seal.open(number, i, sealed[i * step:(i + 1) * step], entry) for i in range(pieces)]
        if None in parts:
            raise Damaged(f"{where} does not authenticate")
        if encoding != ZSTD:
            return b"".join(parts)
        plain = ctypes.create_string_buffer(raw_length + 1)
        if zstd.ZSTD_decompress(plain, raw_length, parts[0], len(parts[0])) != raw_length:  # error codes are far larger
            raise Damaged(f"{where} does not decompress")
        return plain.raw[:-1]


class Store:
    def __init__(self, path, key):
        self.path = path
        self.root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the caller's name may be a link
        document, self.master = unlock(self.root, key)
        self.id, self.chunk_size = hex_member(document, "id", 16), document["chunk_size"]
        self.places = {}  # name of a record -> [(pack, record number)]

    def find_records(self):
        """Files, Pack: the footers list all records. A damaged pack is passed over: others may have what it had."""
        packs_key = derived_key(self.master, 3)
        for folder in names_in(self.root, "packs"):
            if not re.fullmatch("[0-9a-f]{2}", folder):
                continue
            try:
                names = names_in(self.root, f"packs/{folder}")
            except (Damaged, OSError) as error:
                warn(f"{self.path}/packs/{folder}: {error}")
                continue
            for name in names:
                path = os.path.join(self.path, "packs", folder, name)
                if not re.fullmatch("[0-9a-f]{64}", name) or name[:2] != folder:
                    continue
                try:
                    pack = Pack(self.root, f"packs/{folder}/{name}", path, self.id, packs_key)
                except (Damaged, OSError) as error:
                    warn(f"{path}: {error}")
                    continue
                for number in range(pack.count):
                    self.places.setdefault(pack.entry(number)[:32], []).append((pack, number))

    def record(self, name, kind, length):
        """From whichever pack it opens in."""
        trouble = "no pack that can be read has it"
        for pack, number in self.places.get(name, []):
            try:
                return pack.record(number, kind, length)
            except (Damaged, OSError) as error:
                trouble = error
        raise Damaged(f"{'chunk' if kind == CHUNK else 'node'} {name.hex()}: {trouble}")

    # --- Disk map -----------------------------------------------------------------------------------------------------
    def chunks(self, disk):
        """(number, name) of the chunks that are not zero, in order."""
        chunks = -(-disk["size"] // self.chunk_size)
        root_level = 0
        while NAMES_OF_NODE ** (root_level + 1) < chunks:
            root_level += 1

        def below(name, level, index):
            if name == ZERO_NAME:
                return
            names_in_level = -(-chunks // NAMES_OF_NODE ** level)
            count = min(NAMES_OF_NODE, names_in_level - index * NAMES_OF_NODE)
            node = self.record(name, NODE, 8 + 32 * count)
            if struct.unpack("<II", node[:8]) != (level, count):
                raise Damaged(f"node {name.hex()}: not of level {level} with {count} names")
            for i in range(count):
                child, number = node[8 + 32 * i:40 + 32 * i], index * NAMES_OF_NODE + i
                if level > 0:
                    yield from below(child, level - 1, number)
                elif child != ZERO_NAME:
                    yield number, child

        return below(bytes.fromhex(disk["root"]), root_level, 0)

    # --- Recovery point, Sealed document, Marks -----------------------------------------------------------------------
    def point(self, name):
        match = POINT_NAME.fullmatch(name)
        if not match:
            raise Damaged("a point is named MACHINE@YYYYMMDDTHHMMSSZ")
        data = read_file(self.root, f"points/{name}", 64 + 64 * MiB + TAG)
        magic, version, algorithm, store, salt = struct.unpack("<8sII16s32s", data[:64].ljust(64, b"\0"))
        if magic != b"CAIRNPT\n" or version != 1 or store != self.id:
            raise Damaged("its header is damaged, or of another store")
        context = data[:64] + b"points/" + name.encode()
        record = Seal(algorithm, derived_key(self.master, 4), salt).open(0, 0, data[64:], context)
        if record is None:
            raise Damaged("it does not authenticate")
        document = parse_json(record, "cairn-recovery-point")
        if (member(document, "machine", str), member(document, "point", str)) != match.groups():
            raise Damaged("it says another name than its file has")
        for disk in member(document, "disks", list):
            hex_member(disk, "root", 32)
            if not re.fullmatch(NAME, member(disk, "name", str)) or not 0 <= member(disk, "size", int) < 1 << 63:
                raise Damaged("a disk has a name or a size that cannot be")
        return document

    def document(self, name, magic, magic_in_record, most):
        """A sealed document that is no point."""
        data = read_file(self.root, name, 64 + most + TAG)
        found, version, algorithm, store, salt = struct.unpack("<8sII16s32s", data[:64].ljust(64, b"\0"))
        if found != magic or version != 1 or store != self.id:
            raise Damaged("its header is damaged, or of another store")
        record = Seal(algorithm, derived_key(self.master, 4), salt).open(0, 0, data[64:], data[:64] + name.encode())
        if record is None:
            raise Damaged("it does not authenticate")
        return parse_json(record, magic_in_record)

    def overtaken(self, machine):
        """Stamp of each point that a clock dated too late: the stamp before which it was written, and its place."""
        name = f"newest/{machine}"
        if not is_there(self.root, name):
            return {}
        document = self.document(name, b"CAIRNDC\n", "cairn-newest-points", 64 << 10)
        return {point: (by, i) for i, (point, by) in enumerate(document.get("overtaken", []))}

    def labels(self):
        """One line for each disk; False when something cannot be read."""
        all_good = True
        machines = {}
        for name in filter(POINT_NAME.fullmatch, names_in(self.root, "points")):
            machine, stamp = name.split("@")
            machines.setdefault(machine, []).append(stamp)
        for machine, stamps in sorted(machines.items()):
            try:
                overtaken = self.overtaken(machine)
                # The overtaken one comes right before the point of that stamp.
                for stamp in sorted(stamps, key=lambda stamp: overtaken.get(stamp, (stamp, len(overtaken)))):
                    for disk in self.point(f"{machine}@{stamp}")["disks"]:
                        suspect = " suspect" if disk.get("suspect") else ""
                        print(f"{machine}@{stamp} {disk['name']} {disk.get('consistency', 'unknown')}{suspect}", flush=True)
            except (Damaged, OSError, ValueError) as error:
                all_good = False
                warn(f"{machine}: {error}")
        return all_good

    def list(self):
        """One line for each disk; False when a point cannot be read."""
        all_good = True
        for name in filter(POINT_NAME.fullmatch, names_in(self.root, "points")):
            hidden = " deleted" if is_there(self.root, f"deleted/{name}") else ""
            try:
                disks = self.point(name)["disks"]
            except (Damaged, OSError) as error:
                disks, all_good = [], False
                warn(f"points/{name}: {error}")
            for disk in disks:
                print(f"{name} {disk['name']} {disk['size']}{hidden}", flush=True)
        return all_good

    def write(self, point, name, out):
        """Only chunks that are not zero are written: the rest of the file is holes. A file that fails is removed."""
        try:
            disks = [disk for disk in self.point(point)["disks"] if disk["name"] == name]
            if not disks:
                raise Damaged(f"it has no disk {name}")
        except Damaged as error:
            raise Damaged(f"points/{point}: {error}") from None
        self.find_records()
        with open(out, "xb", buffering=0) as file:
            try:
                file.truncate(disks[0]["size"])
                for number, chunk in self.chunks(disks[0]):
                    offset = number * self.chunk_size
                    file.seek(offset)
                    data = memoryview(self.record(chunk, CHUNK, min(self.chunk_size, disks[0]["size"] - offset)))
                    while data:
                        data = data[file.write(data):]
                os.fsync(file.fileno())
            except BaseException:
                os.unlink(out)
                raise
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", metavar="STORE")
    keys = parser.add_mutually_exclusive_group(required=True)
    for option, kind in (("--key-file", key_file), ("--recovery-key", recovery_key), ("--passphrase-file", passphrase)):
        keys.add_argument(option, metavar="FILE", dest="key", type=lambda path, kind=kind: (kind, path))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("labels")
    write_parser = commands.add_parser("write")
    for argument in ("point", "disk", "out"):
        write_parser.add_argument(argument, metavar=argument.upper())
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    kind, path = options.key
    try:
        with open(0 if path == "-" else path, "rb") as file:
            key = kind(file.read())
        store = Store(options.store, key)
        if options.command == "write":
            good = store.write(options.point, options.disk, options.out)
        else:
            good = store.labels() if options.command == "labels" else store.list()
    except (Damaged, OSError, RecursionError) as error:
        warn(error)
        good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
