// SPDX-License-Identifier: GPL-3.0-or-later
// Fills a store with many recovery points, for measuring: copies of one that is there, under other machines' names and
// at other times, all naming the same disks. They are committed as a backup commits them, but for the fsync of each.
//
//   make_points STORE KEY-FILE MACHINE@POINT COUNT
//
// Until the store has COUNT points: up to 1,000 of the machine `many`, then 100 each of `m-0`, `m-1` and so on; a
// second call goes on where the first ended.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

#include "fs/io/local_backend.h"
#include "fs/store/store.h"
#include "fs/store/write/store_writer.h"

namespace {

using namespace cairn;

// The local directory, but points are put without syncing, and listed from memory.
class Unsynced final : public Backend {
 public:
  explicit Unsynced(const std::filesystem::path& path) : path_(path), local_(path) {}
  [[nodiscard]] std::string location() const override { return local_.location(); }
  using Backend::put;
  Result<void> put(std::string_view name, std::span<const ByteView> parts, IfExists if_exists) override {
    if (!name.starts_with(kPoints)) return local_.put(name, parts, if_exists);
    const std::filesystem::path path = path_ / name;
    std::ofstream file(path, std::ios::binary);
    for (const ByteView part : parts)
      file.write(reinterpret_cast<const char*>(part.data()), static_cast<std::streamsize>(part.size()));
    if (!file.flush()) return fail(ErrorCode::io_error, "write", path.string());
    points_.emplace(name);
    return {};
  }
  Result<std::unique_ptr<ObjectReader>> open(std::string_view name) override { return local_.open(name); }
  Result<std::vector<std::string>> list(std::string_view prefix) override {
    if (prefix != kPoints) return local_.list(prefix);
    if (points_.empty()) {
      CAIRN_TRY(const auto there, local_.list(prefix));
      points_.insert(there.begin(), there.end());
    }
    return std::vector(points_.begin(), points_.end());
  }
  Result<void> remove(std::string_view name) override { return local_.remove(name); }
  Result<std::optional<std::uint64_t>> change_token(std::string_view prefix) override {
    return local_.change_token(prefix);
  }

 private:
  static constexpr std::string_view kPoints = "points/";
  std::filesystem::path path_;
  LocalBackend local_;
  std::set<std::string> points_;  // none: not listed yet
};

Result<void> make_points(const std::filesystem::path& path, const std::string& key_file, std::string_view source,
                         std::size_t wanted) {
  CAIRN_TRY(SecretBytes key, read_key_file(key_file));
  CAIRN_TRY(const auto store, Store::open(path, std::make_shared<Unsynced>(path),
                                          UnlockKey{KeySlotType::key_file, std::move(key), key_file}));
  CAIRN_TRY(const PointName from, store->points().find(source));
  CAIRN_TRY(RecoveryPoint point, store->points().load(from));
  CAIRN_TRY(const auto there, store->points().list());
  const std::set<PointName> known(there.begin(), there.end());
  CAIRN_TRY(const auto writer, begin_writing(*store, "make points"));
  std::size_t count = there.size();
  for (std::size_t i = 0; count < wanted; ++i) {
    const bool many = i < 1000;
    const std::size_t age_hours = many ? i : (i - 1000) % 100;
    point.name = {many ? "many" : fmt::format("m-{}", (i - 1000) / 100), from.time + std::chrono::hours(age_hours)};
    if (known.contains(point.name)) continue;
    CAIRN_CHECK(writer->commit(point));
    ++count;
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "make_points STORE KEY-FILE MACHINE@POINT COUNT\n");
    return 2;
  }
  start_crypto();
  const auto made = make_points(argv[1], argv[2], argv[3], std::strtoull(argv[4], nullptr, 10));
  if (!made) fmt::print(stderr, "make_points: {}\n", made.error().message());
  return made ? 0 : 1;
}
