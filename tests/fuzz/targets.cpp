// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "config/base/unique_fd.h"
#include "config/schedule.h"
#include "config/settings.h"
#include "crypto/key_slots.h"
#include "crypto/vault/vault_answers.h"
#include "crypto/volume/volume.h"
#include "daemon/jobs/tracking_record.h"
#include "fs/store/disk_map.h"
#include "fs/store/pack.h"
#include "fs/store/point_file.h"
#include "fs/store/store_document.h"
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
  static_cast<void>((*pack)->read_record(ChunkName{}, place).has_value());
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

void fuzz_volume(ByteView input) {
  const UniqueFd disk(::memfd_create("fuzz", MFD_CLOEXEC));
  static constexpr std::uint64_t kDiskBytes = 4 * 1024 * 1024;
  if (!disk || ::ftruncate(disk.get(), kDiskBytes) != 0) return;
  if (::pwrite(disk.get(), input.data(), std::min<std::size_t>(input.size(), kDiskBytes), 0) < 0) return;
  static_cast<void>(probe_disk(disk.get(), kDiskBytes, "fuzz").has_value());
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
    {"volume", fuzz_volume},
};

}  // namespace

std::span<const FuzzTarget> fuzz_targets() {
  return kTargets;
}

}  // namespace cairn
