// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/pack/pack_check.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "config/base/enum_words.h"
#include "config/base/error.h"
#include "config/base/exception_door.h"
#include "config/base/units.h"

namespace cairn {
namespace {

constexpr std::size_t kHashRun = std::size_t{4} * kMiB;  // without keys
constexpr unsigned kMaxThreads = 4;

// A pack that has been read.
class PackInMemory final : public ObjectReader {
 public:
  explicit PackInMemory(ByteView bytes) : bytes_(bytes) {}
  [[nodiscard]] std::uint64_t size() const override { return bytes_.size(); }
  Result<void> read(std::uint64_t offset, MutableBytes to) const override {
    CAIRN_TRY(const ByteView from, part(ByteOffset(offset), ByteCount(to.size())));
    std::ranges::copy(from, to.begin());
    return {};
  }
  Result<ByteView> read_run(ByteOffset offset, ByteCount size, BulkBuffer& /*buffer*/) const override {
    return part(offset, size);
  }

 private:
  [[nodiscard]] Result<ByteView> part(ByteOffset offset, ByteCount size) const {
    const std::uint64_t from = offset.from_start();
    if (from > bytes_.size() || size.bytes() > bytes_.size() - from)
      return fail(ErrorCode::object_missing, "read", "pack", "it is shorter");
    return bytes_.subspan(from, size.in_memory());
  }
  ByteView bytes_;
};

// Opens records into one buffer and makes their names again.
class NameCheck final : public ChunkReceiver {
 public:
  NameCheck(const ChunkNamer& namer, std::span<const PackRecord> records, std::vector<bool>& good)
      : namer_(namer), records_(records), good_(good) {}
  MutableBytes room(std::size_t /*index*/, std::size_t bytes) override {
    thread_local Buffer buffer;  // for one record
    if (buffer.size() < bytes) buffer.resize(bytes);
    opening_ = MutableBytes(buffer).first(bytes);
    return opening_;
  }
  void opened(std::size_t index) override {
    const PackRecord& record = records_[index];
    good_[index] = namer_.name(record.place.kind, opening_) == record.name;
  }
  void failed(std::size_t /*index*/, Error /*error*/) override {}

 private:
  const ChunkNamer& namer_;
  const std::span<const PackRecord> records_;
  std::vector<bool>& good_;
  MutableBytes opening_;
};

std::vector<WantedRecord> all_of(std::span<const PackRecord> records) {
  std::vector<WantedRecord> wanted;
  wanted.reserve(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) wanted.push_back({i, 0, records[i].name, records[i].place});
  return wanted;
}

// The pack's name from its bytes, without keeping them.
Result<std::string> hash_of(const ObjectReader& object, BulkBuffer& buffer) {
  Blake3 hash;
  for (std::uint64_t at = 0; at < object.size();) {
    const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(kHashRun, object.size() - at));
    CAIRN_TRY(const ByteView run, object.read_run(ByteOffset(at), ByteCount(bytes), buffer));
    hash.update(run);
    at += bytes;
  }
  return to_hex(hash.finish());
}

PackVerdict failed_verdict(const Error& error) {
  PackVerdict verdict;
  verdict.because = error.message();
  if (error.code == ErrorCode::object_missing)
    verdict.state = PackState::missing;
  else
    verdict.state = is_damage_error(error) ? PackState::damaged : PackState::unreadable;
  return verdict;
}

void look_inside(PackVerdict& verdict, MutableBytes bytes, const PackKeys& keys, std::uint32_t records) {
  const auto wrong = [&](std::string because) {
    if (verdict.because.empty()) verdict.because = std::move(because);
    verdict.state = PackState::damaged;
  };
  const auto strict = PackReader::open(std::make_unique<PackInMemory>(bytes), "this pack", keys.keys, keys.store);
  verdict.header_good = strict.has_value();
  if (strict) {
    const auto footer = (*strict)->read_footer();
    verdict.footer_good = footer.has_value();
    if (footer) verdict.records = *footer;
    if (!footer) wrong(footer.error().because);
  } else {
    wrong(strict.error().because);
  }
  const PackReader* reader = strict ? strict->get() : nullptr;
  std::optional<PackSalvage> salvage;
  if (!verdict.footer_good) {
    salvage = PackSalvage::open(bytes, keys, records);
    if (!salvage) return;
    verdict.records = salvage->records();
    verdict.good.assign(verdict.records.size(), false);
    for (std::size_t i = 0; i < verdict.records.size(); ++i)
      verdict.good[i] = salvage->read(verdict.records[i]).has_value();
    return;
  }
  verdict.good.assign(verdict.records.size(), false);
  NameCheck check(keys.keys.namer(), verdict.records, verdict.good);
  reader->read_run(all_of(verdict.records), check);
  if (const std::size_t bad = verdict.bad_records(); bad != 0)
    wrong(std::to_string(bad) + " of " + std::to_string(verdict.good.size()) + " records are not what they must be");
}

constexpr EnumWords<PackState, 4> kPackStates{{{PackState::whole, "whole"},
                                               {PackState::damaged, "damaged"},
                                               {PackState::missing, "missing"},
                                               {PackState::unreadable, "unreadable"}}};

}  // namespace

std::string_view to_string(PackState state) {
  return word_of(kPackStates, state);
}
std::optional<PackState> parse_pack_state(std::string_view text) {
  return value_of_word(kPackStates, text);
}

std::size_t PackVerdict::bad_records() const {
  return static_cast<std::size_t>(std::ranges::count(good, false));
}

PackVerdict check_pack(Backend& backend, const std::string& pack_name, const PackKeys* keys, std::uint32_t records,
                       BulkBuffer& buffer) {
  const auto object = backend.open(pack_object(pack_name));
  if (!object) return failed_verdict(object.error());
  const std::uint64_t size = (*object)->size();
  PackVerdict verdict;
  if (size > kMaxPackBytes) {
    verdict.state = PackState::damaged;
    verdict.because = "its size of " + std::to_string(size) + " bytes is impossible";
    return verdict;
  }
  std::string name;
  MutableBytes bytes;
  if (keys == nullptr) {
    auto hashed = hash_of(**object, buffer);
    if (!hashed) return failed_verdict(hashed.error());
    name = *std::move(hashed);
  } else {
    const auto run = (*object)->read_run(ByteOffset(0), ByteCount(size), buffer);
    if (!run) return failed_verdict(run.error());
    // It lies in our buffer, wherever the reader put it: at its start, since the run begins with the file.
    CAIRN_ASSERT(run->empty() || run->data() == buffer.data());
    bytes = MutableBytes(buffer).first(run->size());
    name = Blake3::hex_of(bytes);
  }
  verdict.bytes = size;
  if (name != pack_name) {
    verdict.state = PackState::damaged;
    verdict.because = "its bytes are not those that it is named by";
  }
  if (keys != nullptr) look_inside(verdict, bytes, *keys, records);
  return verdict;
}

std::optional<PackSalvage> PackSalvage::open(MutableBytes bytes, const PackKeys& keys, std::uint32_t records) {
  if (bytes.size() < kPackHeaderBytes + kSealTagBytes + kPackTrailerBytes) return std::nullopt;
  const SealAlgorithm said = write_pack_frame(bytes, keys.store, records);
  PackSalvage salvage(keys.keys.namer());
  for (const SealAlgorithm algorithm : {said, SealAlgorithm::aes256_gcm, SealAlgorithm::xchacha20_poly1305}) {
    put_le(bytes.subspan(12), static_cast<std::uint32_t>(algorithm));
    auto reader = PackReader::open(std::make_unique<PackInMemory>(bytes), "this pack", keys.keys, keys.store);
    if (!reader) continue;
    if (auto footer = (*reader)->read_footer()) {
      salvage.records_ = *std::move(footer);
      salvage.readers_.clear();
      salvage.readers_.push_back(*std::move(reader));
      return salvage;
    }
    salvage.readers_.push_back(*std::move(reader));
  }
  put_le(bytes.subspan(12), static_cast<std::uint32_t>(said));
  if (salvage.readers_.empty()) return std::nullopt;
  return salvage;
}

std::optional<SharedBuffer> PackSalvage::read(const PackRecord& record) const {
  for (const auto& reader : readers_) {
    auto bytes = reader->read_record(record.name, record.place);
    if (bytes && namer_->name(record.place.kind, (*bytes)->view()) == record.name) return *std::move(bytes);
  }
  return std::nullopt;
}

Result<void> check_packs(Backend& backend, std::span<const PackToCheck> packs, const PackCheckOptions& options,
                         const std::function<Result<void>(const PackToCheck&, PackVerdict)>& done) {
  std::atomic<std::size_t> next = 0;
  Guarded<std::optional<Error>> first_failure;  // locked while `done` is told
  const auto give_up = [&](Error error) {
    const auto failure = first_failure.lock();
    if (!*failure) *failure = std::move(error);
    next = packs.size();
  };
  const auto work = [&] {
    auto outcome = without_exceptions("check packs of", backend.location(), [&]() -> Result<void> {
      BulkBuffer buffer;
      for (std::size_t i = next++; i < packs.size(); i = next++) {
        if (options.stop.stop_requested())
          return fail(ErrorCode::cancelled, "verify", backend.location(), "it was asked to stop");
        PackVerdict verdict = check_pack(backend, packs[i].name, options.keys, packs[i].records, buffer);
        const std::uint64_t bytes = verdict.bytes;
        {
          const auto failure = first_failure.lock();
          if (*failure) return {};
          CAIRN_CHECK(done(packs[i], std::move(verdict)));
        }
        // Paid for after it: the first packs of a run need not wait.
        if (options.rate != nullptr) CAIRN_CHECK(options.rate->take(bytes, options.stop));
      }
      return {};
    });
    if (!outcome) give_up(std::move(outcome).error());
  };
  {
    const unsigned cores = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
    const std::size_t count = std::min<std::size_t>(options.threads == 0 ? cores : options.threads, packs.size());
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < count; ++i) threads.emplace_back(work);
    work();
  }
  if (const auto failure = first_failure.lock(); *failure) return pass_on(**failure);
  return {};
}

}  // namespace cairn
