// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/fuzz/store_targets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/api/api_requests.h"
#include "fs/store/index/index.h"
#include "fs/store/index/index_runs.h"
#include "fs/store/point/sealed_document.h"

namespace cairn {
namespace {

// A folder of this process, in memory where that is possible; removed at its end.
class IndexFolder {
 public:
  IndexFolder() {
    const char* parent = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path_ = std::string(parent) + "/cairn-fuzz-" + std::to_string(::getpid());
    std::filesystem::create_directory(path_);
  }
  IndexFolder(const IndexFolder&) = delete;
  IndexFolder& operator=(const IndexFolder&) = delete;
  ~IndexFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace

void fuzz_index_file(ByteView input) {
  static const IndexFolder folder;
  const std::filesystem::path file = folder.path() / "data.mdb";
  // Whose index it is, as the file itself says it: else none but one store's would ever be looked into.
  StoreId store{};
  const std::string_view text = as_text(input);
  for (std::size_t at = text.find("about"); at != std::string_view::npos; at = text.find("about", at + 1))
    if (input.size() - at >= 5 + 4 + store.size() && get_le<std::uint32_t>(input.subspan(at + 5)) == 2)
      std::copy_n(input.begin() + static_cast<std::ptrdiff_t>(at) + 9, store.size(), store.begin());
  std::ofstream(file, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
  const auto index = Index::open(folder.path(), store);
  if (!index) return;
  static_cast<void>((*index)->epoch().has_value());
  static_cast<void>((*index)->record_count().has_value());
  static_cast<void>((*index)->packs().has_value());
  for (std::size_t at = 0; at + kChunkNameBytes <= input.size(); at += 509)
    static_cast<void>((*index)->locate(ChunkName::of(input.subspan(at, kChunkNameBytes))).has_value());
  IndexedPack pack{std::string(64, 'f'), 1000, {}};
  PackRecord record;
  record.name = ChunkName::of(Buffer(kChunkNameBytes, 7));
  pack.records.push_back(record);
  static_cast<void>((*index)->add({&pack, 1}).has_value());
  const std::string name = pack.name;
  static_cast<void>((*index)->forget({&name, 1}).has_value());
}

void fuzz_index_runs(ByteView input) {
  const auto runs = decode_runs(input);
  if (!runs) return;
  if (decode_runs(encode_runs(*runs)) != runs) std::abort();
  for (const RunFacts& run : choose_merge(*runs))
    if (run.slot >= kRunSlots) std::abort();
  static_cast<void>(free_slot(*runs));
}

void fuzz_sealed_document(ByteView input) {
  static const KeyRing keys{SecretBytes(32)};
  static const StoreId store{};
  const DocumentSeal seal{keys, SealAlgorithm::xchacha20_poly1305, store};
  const auto opened =
      open_document(kRecordMagic, "deleted/vm@20261121T000000Z", input, seal, ErrorCode::store_damaged, "fuzz");
  if (opened && opened->size() > input.size()) std::abort();
}

void fuzz_api_request(ByteView input) {
  const std::string_view text = as_text(input);
  static_cast<void>(parse_request<BackupRequest>(text).has_value());
  static_cast<void>(parse_request<RestoreRequest>(text).has_value());
  static_cast<void>(parse_request<PruneRequest>(text).has_value());
  static_cast<void>(parse_request<ProtectRequest>(text).has_value());
  static_cast<void>(parse_request<VerifyRequest>(text).has_value());
  const auto number = parse_number("wait", text, kMaxWaitMs);
  if (number && *number > kMaxWaitMs) std::abort();
}

}  // namespace cairn
