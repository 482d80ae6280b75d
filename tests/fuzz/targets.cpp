// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/fuzz/targets.h"

#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/base/unique_fd.h"
#include "config/schedule.h"
#include "config/settings.h"
#include "crypto/bek.h"
#include "crypto/key_slots.h"
#include "crypto/vault/command/vault_answers.h"
#include "crypto/vault/local/audit_log.h"
#include "crypto/vault/local/vault_file.h"
#include "crypto/vault/wrapped_bek.h"
#include "crypto/volume/fd_source.h"
#include "crypto/volume/image_format.h"
#include "crypto/volume/lvm.h"
#include "crypto/volume/qcow2_luks.h"
#include "crypto/volume/segments.h"
#include "crypto/volume/unlock.h"
#include "crypto/volume/volume.h"
#include "daemon/backup/tracking_record.h"
#include "fs/image/change/qcow2_extents.h"
#include "fs/store/map/disk_map.h"
#include "fs/store/pack/pack.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store_document.h"
#include "tests/fuzz/store_targets.h"
#include "tests/support/bitlocker_volume.h"
#include "tests/support/memory_backend.h"

namespace cairn {
namespace {

void fuzz_settings(ByteView input) {
  static_cast<void>(parse_settings(as_text(input), "/etc/cairn/cairn.yaml"));
}

void fuzz_schedule(ByteView input) {
  const auto schedule = Schedule::parse(as_text(input), "Europe/Stockholm");
  if (schedule) static_cast<void>(schedule->next_after(UtcTime(std::chrono::seconds(1'795'219'200))));
}

void fuzz_store_document(ByteView input) {
  const auto document = read_store_document(as_text(input), "fuzz");
  if (document)
    static_cast<void>(check_store_document(as_text(input), *document, KeyRing(SecretBytes(32)), "fuzz").has_value());
}

// The keys and the id of a store that never was: what does not authenticate must be refused, not believed.
void fuzz_pack(ByteView input) {
  static const KeyRing keys{SecretBytes(32)};
  StoreId id{};
  if (input.size() >= 32) std::copy_n(input.begin() + 16, id.size(), id.begin());
  MemoryBackend backend;
  const std::string name(64, 'a');
  static_cast<void>(backend.put(pack_object(name), input, IfExists::fail).has_value());
  const auto pack = PackReader::open(backend, name, keys, id);
  if (!pack) return;
  static_cast<void>((*pack)->read_footer().has_value());
  RecordPlace place;
  place.offset = get_le<std::uint32_t>(input);
  place.sealed_bytes = get_le<std::uint32_t>(input.subspan(4)) % 100'000;
  place.raw_bytes = get_le<std::uint32_t>(input.subspan(8));
  if (input.size() > 13) place.encoding = static_cast<RecordEncoding>(input[12] % 4);
  static_cast<void>((*pack)->read_record(ChunkName{}, place).has_value());
  if (place.raw_bytes > kMaxRawBytes) return;
  Buffer part(place.raw_bytes / 2);
  static_cast<void>((*pack)->read_part(ChunkName{}, place, place.raw_bytes / 3, part).has_value());
}

void fuzz_map_node(ByteView input) {
  if (input.size() < 2) return;
  static_cast<void>(decode_node(input.subspan(2), input[0] % 6, input[1] * 4U + 1U, "fuzz").has_value());
}

void fuzz_point_file(ByteView input) {
  static const KeyRing keys{SecretBytes(32)};
  StoreId id{};
  if (input.size() >= 32) std::copy_n(input.begin() + 16, id.size(), id.begin());
  static_cast<void>(open_point(input, {"vm", UtcTime()}, keys, id, "fuzz").has_value());
}

void fuzz_point_document(ByteView input) {
  const auto document = nlohmann::json::parse(as_text(input), nullptr, false);
  if (document.is_discarded()) return;
  const auto point = point_from_json(document, "fuzz");
  if (point) static_cast<void>(to_json(*point));
}

void fuzz_recovery_key(ByteView input) {
  static_cast<void>(parse_recovery_key(input, "fuzz").has_value());
}

void fuzz_tracking_record(ByteView input) {
  const auto record = read_record(as_text(input));
  if (record && !read_record(write_record(*record))) std::abort();
}

// What a command of a key vault prints, taken for each of the answers.
void fuzz_vault_answer(ByteView input) {
  SecretCommand command;
  command.failed = ErrorCode::vault_command_failed;
  const CommandOutput output{SecretBytes::copy_of(input), "complaints"};
  static_cast<void>(read_vault_list(command, output).has_value());
  static_cast<void>(read_new_version(command, output).has_value());
  const auto stored = read_stored_bek(command, output, "fuzz");
  if (stored && !is_vault_version(stored->version)) std::abort();
}

// A qcow2 file: where its LUKS header lies, and what its tables map; the extents never go back.
void fuzz_qcow2(ByteView input) {
  const UniqueFd file(::memfd_create("qcow2", MFD_CLOEXEC));
  if (!file || ::write(file.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) return;
  FdSource source(file.get(), input.size(), "fuzz");
  std::vector<std::string> remarks;
  static_cast<void>(find_image_format(source).has_value());
  static_cast<void>(probe_qcow2_luks(source, "fuzz", remarks).has_value());
  const auto extents = qcow2_extents(file.get());
  if (!extents) return;
  std::uint64_t from = 0;
  for (int batches = 0; batches < 100 && from < extents->disk_size; ++batches) {
    const auto batch = extents->read(from);
    if (!batch) return;
    if (batch->end <= from) std::abort();
    from = batch->end;
  }
}

// A group of which one physical volume is there: whatever the text says, what is placed lies inside of it.
void fuzz_lvm_text(ByteView input) {
  LvmMember member;
  member.id = std::string(32, 'a');
  member.place = {1 << 20, 64 << 20};
  member.text = as_text(input);
  for (const LvmPlaced& volume : lay_out_lvm({&member, 1}).volumes) {
    if (!volume.why_not.empty()) continue;
    for (const std::uint64_t offset : {std::uint64_t{0}, volume.facts.place.size / 2, volume.facts.place.size - 1}) {
      const ByteRange place = place_of(volume.facts, offset);
      if (place.size == 0 || place.offset < member.place.offset ||
          place.offset + place.size > member.place.offset + member.place.size)
        std::abort();
    }
  }
}

constexpr std::uint64_t kFuzzDiskBytes = 4 * 1024 * 1024;

// A disk that begins with `input`; none where there is no room for it.
UniqueFd fuzz_disk(ByteView input) {
  UniqueFd disk(::memfd_create("fuzz", MFD_CLOEXEC));
  if (!disk || ::ftruncate(disk.get(), kFuzzDiskBytes) != 0) return {};
  if (::pwrite(disk.get(), input.data(), std::min<std::size_t>(input.size(), kFuzzDiskBytes), 0) < 0) return {};
  return disk;
}

void fuzz_volume(ByteView input) {
  const UniqueFd disk = fuzz_disk(input);
  if (disk) static_cast<void>(probe_disk(disk.get(), kFuzzDiskBytes, "fuzz").has_value());
}

// What was made normal is normal, and a .BEK file that is taken has an identifier.
void fuzz_bek(ByteView input) {
  const auto bek = [&] { return SecretBytes::copy_of(input); };
  static_cast<void>(bitlocker_bek_type(bek()));
  const bool has_id = startup_key_id(bek(), "fuzz").has_value();
  for (const BekType type : {BekType::luks_key_file, BekType::luks_passphrase, BekType::bitlocker_startup_key,
                             BekType::bitlocker_recovery_password, BekType::bitlocker_password}) {
    auto normal = normal_bek(type, bek(), "fuzz");
    if (!normal) continue;
    if (type == BekType::bitlocker_startup_key && !has_id) std::abort();
    if (type != BekType::bitlocker_recovery_password) continue;
    const auto again = normal_bek(type, SecretBytes::copy_of(std::as_const(*normal).reveal()), "fuzz");
    if (!again || !std::ranges::equal(again->reveal(), std::as_const(*normal).reveal())) std::abort();
  }
}

// A key that opens the corpus' BitLocker volume, so that what lies behind its seal is reached as well. The volume has
// no password: libcryptsetup would try the key as one, which takes a third of a second.
void fuzz_unlock(ByteView input) {
  static const SecretBytes startup_key = SecretBytes::copy_of(
      testing::make_bitlocker_volume({.size = kFuzzDiskBytes, .password = "", .startup_key = true, .key_rounds = 1})
          .startup_key);
  static const SecretBytes passphrase = SecretBytes::copy_of(as_bytes("correct horse"));
  const UniqueFd disk = fuzz_disk(input);
  if (!disk) return;
  const auto facts = probe_disk(disk.get(), kFuzzDiskBytes, "fuzz");
  if (!facts) return;
  for (const VolumeFacts& volume : facts->volumes) {
    const ReadHeader read = [&](std::uint64_t offset, MutableBytes to) -> Result<void> {
      if (offset + to.size() > volume.place.size) std::abort();
      FdSource source(disk.get(), kFuzzDiskBytes, "fuzz");
      return read_volume(source, volume, offset, to);
    };
    const bool bitlocker = volume.type == VolumeType::bitlocker;
    static_cast<void>(unlock_volume(volume, read, bitlocker ? BekType::bitlocker_startup_key : BekType::luks_passphrase,
                                    bitlocker ? startup_key : passphrase, "fuzz", {1, 64 * 1024 * 1024})
                          .has_value());
  }
}

// tests/crypto/vault/golden/v1/vault, its one key slot.
constexpr const char* kGoldenSlot =
    R"({"created":"2026-11-21T00:00:00Z","id":"f47ed0c7","label":"test","salt":"bdac4d7395be79799097b08c0d814670","type":"key-file","wrapped":"c57e78051bee7b6daab479a5e27ad4ac8e4cb0f4e7df52f0ebfb7e0cb1c799538dbd6bb5382387f33b8229ab04ad671a2b6fc00bf5c8b95b9f5338a9f7796d1b4f6664d457b4ac8c"})";

// The keys of the golden vault, whose slot is opened by the bytes 0, 1, ... 31: what is altered must be refused, and it
// gets past the checksum here.
void fuzz_vault_file(ByteView input) {
  static const VaultKeys keys = [] {
    SecretBytes key_file(32);
    for (std::size_t i = 0; i < key_file.size(); ++i) key_file.reveal()[i] = static_cast<std::uint8_t>(i);
    const auto slot = nlohmann::json::parse(kGoldenSlot);
    const KeySlot golden = key_slot_from_json(slot, "fuzz").value();
    return VaultKeys(
        open_key_slots({&golden, 1}, {KeySlotType::key_file, std::move(key_file), "fuzz"}, "fuzz").value());
  }();
  Buffer file(input.begin(), input.end());
  if (file.size() > 32) {
    const std::size_t covered = file.size() - 32;
    crypto_generichash(file.data() + covered, 32, file.data(), covered, nullptr, 0);
  }
  for (const ByteView bytes : {input, ByteView(file)}) {
    const auto header = read_vault_header(bytes, "fuzz");
    const auto contents = open_vault_file(bytes, keys, "fuzz");
    if (header && contents && !seal_vault_file(*header, *contents, keys, "fuzz")) std::abort();
  }
}

// What the seal would have to let through first.
void fuzz_vault_document(ByteView input) {
  const auto document = nlohmann::json::parse(as_text(input), nullptr, false);
  if (document.is_discarded()) return;
  const auto contents = vault_contents_from_json(document, "fuzz");
  if (contents && !vault_contents_from_json(to_json(*contents), "fuzz")) std::abort();
}

void fuzz_wrapped_bek(ByteView input) {
  const auto document = nlohmann::json::parse(as_text(input), nullptr, false);
  if (document.is_discarded()) return;
  const auto bek = wrapped_bek_from_json(document, "fuzz");
  if (bek && wrapped_bek_from_json(to_json(*bek), "fuzz").value() != *bek) std::abort();
}

// Lines of an audit log, with and without a chain that holds.
void fuzz_audit_log(ByteView input) {
  static const SecretBytes key(32);
  AuditReader reader(key, {}, "fuzz");
  std::string_view text = as_text(input);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    static_cast<void>(reader.next(line).has_value());
    const auto entry = parse_audit_line(line, "fuzz");
    if (!entry) continue;
    Buffer mac;
    std::string again = write_audit_line(*entry, Buffer(32), key, mac);
    again.pop_back();
    AuditReader chained(key, {}, "fuzz");
    if (!chained.next(again) && (entry->number == 1 || entry->operation == kAuditBegin) && entry->number != 0)
      std::abort();
  }
}

constexpr FuzzTarget kTargets[] = {
    {"settings", fuzz_settings},
    {"schedule", fuzz_schedule},
    {"store-document", fuzz_store_document},
    {"pack", fuzz_pack},
    {"map-node", fuzz_map_node},
    {"point-file", fuzz_point_file},
    {"point-document", fuzz_point_document},
    {"recovery-key", fuzz_recovery_key},
    {"tracking-record", fuzz_tracking_record},
    {"vault-answer", fuzz_vault_answer},
    {"vault-file", fuzz_vault_file},
    {"vault-document", fuzz_vault_document},
    {"wrapped-bek", fuzz_wrapped_bek},
    {"audit-log", fuzz_audit_log},
    {"volume", fuzz_volume},
    {"qcow2", fuzz_qcow2},
    {"lvm-text", fuzz_lvm_text},
    {"bek", fuzz_bek},
    {"unlock", fuzz_unlock, "volume"},
    {"index-file", fuzz_index_file},
    {"index-runs", fuzz_index_runs},
    {"sealed-document", fuzz_sealed_document},
    {"api-request", fuzz_api_request},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() {
  return kTargets;
}

}  // namespace cairn
