#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Key vaults of other kinds: a KEK in an HSM (SoftHSM2, a real token), and a vault that is a command.
. "$(dirname "$0")/lib.sh"
needs cryptsetup jq openssl python3

make_luks "$work/web.img" 32M luks2
(umask 077; cp "$work/passphrase" "$work/web.key")
use() { EXTRA="key_vaults:
  main: $1" settings "web: { disks: { root: { image: web.img, bek: main/web, kek: main/backup } } }"; }

# --- a vault that is a command: openssl keys in a directory -----------------------------------------------------------
tool=$work/vault-tool
cat >"$tool" <<'PY'
#!/usr/bin/env python3
# A whole vault in a few lines: RSA keys of openssl, secrets in files. VAULT_TOOL_DIR is where.
import json, os, subprocess, sys
here = os.environ["VAULT_TOOL_DIR"]
def names(end): return sorted(n[:-len(end)] for n in os.listdir(here) if n.endswith(end))
def rsa(how, key): 
    return subprocess.run(["openssl", "pkeyutl", how, "-inkey", f"{here}/{key}.pem", "-pkeyopt", "rsa_padding_mode:oaep",
                           "-pkeyopt", "rsa_oaep_md:sha256"], stdin=sys.stdin, check=True)
what, name = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
if what == "list":
    print(json.dumps({"keys": [{"name": n, "type": "RSA-3072", "versions": [{"version": "1"}]} for n in names(".pem")],
                      "secrets": [{"name": n} for n in names(".json")]}))
elif what == "get": sys.stdout.write(open(f"{here}/{name}.json").read())
elif what == "set": open(f"{here}/{name}.json", "w").write(sys.stdin.read())
elif what == "wrap": rsa("-encrypt", name)
elif what == "unwrap": rsa("-decrypt", name)
elif what == "fail": sys.exit("the vault is sealed; ask the night shift")
elif what == "hang":
    import time
    time.sleep(600)
elif what == "rubbish": print("{")
elif what == "flood":
    while True: sys.stdout.write("x" * 65536)
PY
chmod +x "$tool"
export VAULT_TOOL_DIR=$work/tool
mkdir "$VAULT_TOOL_DIR"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out "$VAULT_TOOL_DIR/backup.pem" 2>/dev/null
commands() {
  echo "{ provider: command, timeout: 2s, commands: { list: [$tool, ${LIST:-list}], get_secret: [$tool, ${GET:-get}, \"{name}\"],
    wrap: [$tool, wrap, \"{name}\", \"{version}\"], unwrap: [$tool, ${UNWRAP:-unwrap}, \"{name}\"], set_secret: [$tool, set, \"{name}\"] } }"
}
use "$(commands)"
new_store --recovery-key-out "$work/recovery"
check "command: import" cairn key import web/root --from "$work/web.key"
exits "command: backup" 0 cairn backup web
equal "command: proved" "$(point_fact web proof)" proved
exits "command: verify --proof works without the vault" 0 cairn verify --proof
refuses "command: keys are made with that vault's own tools" not-supported-yet cairn key create other
for how in fail:"ask the night shift" hang:"2 s" rubbish:"not JSON" flood:"than"; do
  LIST=${how%%:*} GET=${how%%:*} UNWRAP=${how%%:*} use "$(LIST=${how%%:*} GET=${how%%:*} UNWRAP=${how%%:*} commands)"
  refuses "command: ${how%%:*}: backup is refused" vault-command-failed cairn backup web
  contains "command: ${how%%:*}: says what happened" "$(cat "$stderr")" "${how#*:}"
done
equal "command: nothing was stored meanwhile" "$(cairn points --json | jq length)" 1
use "$(commands | sed 's/timeout: 2s/timeout: 2s, escrow_beks: false/')"
exits "command: without escrow a point is proved too" 0 cairn backup web
exits "command: but the store alone does not unlock it" 1 cairn key drill web@latest
contains "command: and says why" "$(cat "$stdout" "$stderr")" "[no-escrowed-keys]"

# --- an HSM -----------------------------------------------------------------------------------------------------------
module=/usr/lib/softhsm/libsofthsm2.so
if [ ! -r "$module" ] || ! have softhsm2-util; then
  skip "a KEK in an HSM" "no SoftHSM2"
  end
fi
mkdir "$work/tokens"
printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/tokens" >"$work/softhsm2.conf"
export SOFTHSM2_CONF=$work/softhsm2.conf
softhsm2-util --init-token --free --label cairn --so-pin 87654321 --pin 123456 >/dev/null
(umask 077; echo 123456 >"$work/pin")
hsm="{ provider: pkcs11, module: $module, token: cairn, pin_file: pin, path: vault, key_file: vault.key }"
use "$hsm"
check "HSM: vault init makes the part beside it" cairn vault init --create-key-file
exits "HSM: key create" 0 cairn key create backup --json
equal "HSM: an RSA key" "$(jq -r .type "$stdout")" RSA-3072
check "HSM: import" cairn key import web/root --from "$work/web.key"
exits "HSM: backup" 0 cairn backup web
equal "HSM: proved" "$(point_fact web proof)" proved
exits "HSM: rotate" 0 cairn key rotate backup
exits "HSM: backup with the new version" 0 cairn backup web
equal "HSM: pinned" "$(cairn points web@latest --json | jq -r '.proof.volumes[0].kek_version')" 2
exits "HSM: config check" 0 cairn config check
echo 654321 >"$work/pin"
refuses "HSM: a wrong PIN" hsm-pin-wrong cairn backup web
echo 123456 >"$work/pin"
exits "HSM: the right one again" 0 cairn backup web
sed -i 's/token: cairn/token: carin/' "$config"
refuses "HSM: no such token" hsm-unavailable cairn backup web
contains "HSM: says which there are" "$(cat "$stderr")" "cairn"
sed -i "s/token: carin/token: cairn/; s#module: $module#module: /nowhere/lib.so#" "$config"
refuses "HSM: no such library" hsm-unavailable cairn backup web
use "$hsm"
# The HSM burns down with everything in it; the store and the paper are left.
mv "$work/tokens" "$work/burnt"
mkdir "$work/tokens"
refuses "HSM: gone" hsm-unavailable cairn backup web
run "$CAIRN" --store "$work/store" --recovery-key "$work/recovery" key drill
equal "HSM: the drill from nothing unlocks the disk" $status 0
use "{ provider: local, path: vault2, key_file: vault2.key }"
check "HSM: a local vault in its place" cairn vault init --create-key-file
exits "HSM: key restore wraps the BEK anew" 0 cairn key restore web@latest
contains "HSM: and says so" "$(cat "$stdout")" "wrapped anew"
exits "HSM: backups are proved again" 0 cairn backup web
equal "HSM: by the new vault" "$(point_fact web proof)" proved
end
