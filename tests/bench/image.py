"""The image that is measured: a LUKS2 disk, 5/8 of it ciphertext, and the guest's writes. All follows from a seed."""
# SPDX-License-Identifier: GPL-3.0-or-later
import hashlib
import os
import random
import subprocess

MIB = 1024 * 1024
REGION = 64 * MIB  # the image is filled region by region: 5 of every 8
HEADER = 16 * MIB  # of LUKS2; data begin behind it


def ciphertext(seed, count, to):
    """`count` bytes of AES-128-CTR under a key made from the seed, to the file object `to`."""
    key = hashlib.sha256(seed.encode()).hexdigest()[:32]
    zeros = subprocess.Popen(["head", "-c", str(count), "/dev/zero"], stdout=subprocess.PIPE)
    subprocess.run(["openssl", "enc", "-aes-128-ctr", "-K", key, "-iv", "0" * 32], stdin=zeros.stdout, stdout=to, check=True)
    zeros.stdout.close()
    zeros.wait()


def make_image(path, options):
    with open(path, "wb") as image:
        image.truncate(options.size)
    passphrase = path + ".passphrase"
    with open(passphrase, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write("bench")
    subprocess.run(["cryptsetup", "luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
                    "--key-file", passphrase, path], check=True)
    with open(path, "r+b") as image:
        for region in range(options.size // REGION):
            if region % 8 >= 5:
                continue
            start = max(region * REGION, HEADER)
            image.seek(start)
            image.flush()
            ciphertext(f"{options.seed} region {region}", (region + 1) * REGION - start, image)
        os.fsync(image.fileno())


def change_image(path, options, number):
    """2,000 scattered 4 KiB writes where there is data, and one run of 64 MiB (below 2 GiB: 250 and 8 MiB); bytes."""
    choose = random.Random(f"{options.seed} change {number}")
    small = options.size < 2048 * MIB
    run, writes = (8 * MIB, 250) if small else (REGION, 2000)
    data_regions = [r for r in range(options.size // REGION) if r % 8 < 5 and r > 0]
    with open(path, "r+b") as image:
        for _ in range(writes):
            offset = choose.choice(data_regions) * REGION + choose.randrange(REGION // 4096) * 4096
            os.pwrite(image.fileno(), choose.randbytes(4096), offset)
        image.seek(choose.choice(data_regions) * REGION)
        image.flush()
        ciphertext(f"{options.seed} run {number}", run, image)
        os.fsync(image.fileno())
    return writes * 4096 + run
