// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/repair.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "config/base/error.h"
#include "config/base/log.h"
#include "fs/io/open_backend.h"
#include "fs/store/document_pair.h"
#include "fs/store/pack/pack_check.h"
#include "fs/store/point/mark_files.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage_walk.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/verify/verify_points.h"
#include "fs/store/write/record_sink.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

// A lost node hides what is below it: as many rounds as a map has levels, and one for the chunks.
constexpr int kMostRounds = 8;

using Names = std::unordered_map<ChunkName, RecordKind, ChunkNameHash>;

std::string quarantine_object(std::string_view object) {
  return "aside/" + std::string(object.substr(object.rfind('/') + 1));
}

Result<void> quarantine(Backend& backend, const std::string& object) {
  auto bytes = backend.get(object, kMaxPackBytes);
  if (!bytes && bytes.error().code == ErrorCode::object_missing) return {};
  if (!bytes) return pass_on(std::move(bytes).error());
  return backend.put(quarantine_object(object), *bytes, IfExists::replace);
}

class Repair {
 public:
  Repair(Store& store, const RepairOptions& options, const Clock& clock)
      : store_(store),
        options_(options),
        clock_(clock),
        keys_{store.state().keys, store.state().document.id},
        backend_(*store.state().backend),
        rate_(options.verify.rate) {}

  Result<RepairReport> run() {
    if (options_.replica) CAIRN_CHECK(open_replica());
    CAIRN_TRY(report_.before, verify_store(store_, options_.verify, clock_));
    report_.after = report_.before;
    if (report_.before.clean()) return std::move(report_);
    if (report_.before.index || report_.before.wrong_entries != 0) {
      CAIRN_CHECK(rebuild_index(store_));
      report_.index_rebuilt = true;
      // The new index has everything that has a footer; which of it is damaged must be found again.
      CAIRN_CHECK(look_again());
    }
    {
      CAIRN_TRY(const auto core, writer_core_of(store_.state(), "repair"));
      // A collection must not meet packs that go meanwhile.
      CAIRN_TRY(const auto turn, core->collecting.take("a repair", "repair", store_.path().string()));
      CAIRN_TRY(index_, store_.index().get());
      CAIRN_TRY(report_.document_repaired, repair_store_documents(backend_, store_.path(), keys_.keys));
      CAIRN_CHECK(repair_points());
      CAIRN_CHECK(repair_newest());
      for (const DamagedPack& pack : report_.after.damage.packs) CAIRN_CHECK(repair_pack(pack));
      CAIRN_CHECK(forget_cleared());
      store_.state().packs.clear();
      CAIRN_CHECK(find_lost());
    }
    CAIRN_CHECK(look_again());
    return std::move(report_);
  }

 private:
  Result<void> look_again() {
    VerifyOptions options = options_.verify;
    // What was damaged is read in any case. But what could not be read then has not been looked at: a second look at
    // structure alone would call it whole.
    if (report_.before.unreadable.empty()) {
      options.data_percent = 0;
      options.at_most.reset();
    }
    options.structure = true;
    CAIRN_TRY(report_.after, verify_store(store_, options, clock_));
    return {};
  }

  Result<void> open_replica() {
    const std::filesystem::path& path = *options_.replica;
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored))
      return fail(ErrorCode::target_missing, "use replica", path.string(), "there is no such directory",
                  "name a copy of the store's directory");
    replica_ = open_backend(path);
    // Its store.json may be older or gone: packs and points say themselves whose they are. But another store's is a
    // mistake that is better reported at once.
    for (const char* name : {kStoreDocument, kStoreDocumentCopy}) {
      const auto text = replica_->get(name, 1 << 20);
      if (!text) continue;
      const auto document = read_store_document(as_text(*text), path.string());
      if (document && document->id != keys_.store)
        return fail(ErrorCode::replica_differs, "use replica", path.string(), "it is a copy of another store");
    }
    CAIRN_TRY(const auto objects, replica_->list("packs/"));
    replica_packs_ = pack_names_of(objects);
    return {};
  }

  void note(std::string problem) { report_.problems.push_back(std::move(problem)); }

  Result<void> pay(std::uint64_t bytes) { return rate_.take(bytes, options_.verify.stop); }

  // --- points

  // Repeated until nothing comes back: a point that is back may name another that is missing.
  Result<void> repair_points() {
    if (!replica_) return {};
    for (;;) {
      const std::size_t before = report_.points_copied.size();
      CAIRN_TRY(const PointsFound found, look_at_points(store_, report_.after.damage, false));
      for (const PointDamage& point : found.damaged)
        CAIRN_CHECK(repair_point(point.point.text(), {}, IfExists::replace));
      for (const PointGap& gap : found.gaps)
        if (gap.because == kPointFileMissing) CAIRN_CHECK(repair_point(gap.missing, gap.hash, IfExists::fail));
      if (report_.points_copied.size() == before) return {};
    }
  }

  // `hash`: what its file must be; empty: not known.
  Result<void> repair_point(const std::string& text, const std::string& hash, IfExists if_exists) {
    const auto name = PointName::parse(text);
    if (!name) return {};
    const std::string object = point_object(*name);
    const auto bytes = replica_->get(object, kMaxPointBytes);
    if (!bytes) {
      if (bytes.error().code != ErrorCode::object_missing) note(bytes.error().message());
      return {};
    }
    const auto opened = open_point(*bytes, *name, keys_.keys, keys_.store, replica_->location() + "/" + object);
    if (!opened || (!hash.empty() && Blake3::hex_of(*bytes) != hash)) {
      note("the replica's " + object + (opened ? " is another file" : " does not authenticate either"));
      return {};
    }
    if (if_exists == IfExists::replace) CAIRN_CHECK(quarantine(backend_, object));
    CAIRN_CHECK(backend_.put(object, *bytes, if_exists));
    report_.points_copied.push_back(text);
    log_event(LogLevel::warning, "point-repaired", text, {{"from", replica_->location()}});
    return {};
  }

  // Only what the points in the store say can be written again; what the record knew of others is lost.
  Result<void> repair_newest() {
    StoreState& state = store_.state();
    const auto changes = state.point_changes.lock();
    const MarkFiles marks = state.points.marks();
    CAIRN_TRY(const auto machines, marks.machines_with_newest());
    for (const std::string& machine : machines) {
      const auto recorded = marks.newest(machine);
      if (recorded || !is_damage_error(recorded.error())) continue;
      CAIRN_TRY(const auto points, store_.points().list_stored());
      NewestPoints newest{machine, {}};
      for (const PointName& point : points)  // sorted by machine, then time
        if (point.machine == machine) newest.points = {{point.text(), {}}};
      CAIRN_CHECK(quarantine(backend_, newest_object(machine)));
      CAIRN_CHECK(marks.write(newest));
      report_.newest_repaired.push_back(machine);
      log_event(LogLevel::warning, "newest-points-repaired", machine);
    }
    return {};
  }

  // --- packs

  Result<void> repair_pack(const DamagedPack& pack) {
    CAIRN_TRY(const bool copied, copy_whole(pack.name));
    if (copied || pack.state == PackState::missing) return {};
    return clear_pack(pack.name);
  }

  // The replica's file of that name is this pack, when its bytes are those of the name.
  Result<bool> copy_whole(const std::string& pack) {
    if (!replica_) return false;
    const PackVerdict there = check_pack(*replica_, pack, &keys_, 0, buffer_);
    CAIRN_CHECK(pay(there.bytes));
    if (there.state != PackState::whole) {
      if (there.state != PackState::missing) note("the replica's pack " + pack + ": " + there.because);
      return false;
    }
    const BulkBuffer whole = std::move(buffer_);
    buffer_ = {};
    CAIRN_CHECK(quarantine(backend_, pack_object(pack)));
    CAIRN_CHECK(backend_.put(pack_object(pack), ByteView(whole).first(there.bytes), IfExists::replace));
    CAIRN_CHECK(check_written(pack));
    CAIRN_TRY(const auto row, index_->pack(pack));
    if (row && row->retired == Retired::no) {
      // Nobody has retired it: it is known as it is.
    } else if (row) {
      CAIRN_CHECK(relist_pack(store_.state(), *index_, *row));
    } else {
      const IndexedPack added{pack, there.bytes, there.records};
      CAIRN_CHECK(index_->add({&added, 1}));
    }
    report_.packs_copied.push_back(pack);
    log_event(LogLevel::warning, "pack-repaired", backend_.location(),
              {{"pack", pack}, {"from", replica_->location()}});
    return true;
  }

  // What was written is on the disk as it was written: read back past the page cache.
  Result<void> check_written(const std::string& pack) {
    const PackVerdict verdict = check_pack(backend_, pack, &keys_, 0, buffer_);
    if (verdict.state == PackState::whole) return {};
    return fail(ErrorCode::io_error, "repair", backend_.location() + "/" + pack_object(pack),
                "what was just written reads back otherwise: " + verdict.because,
                "do not rely on this disk; see dmesg");
  }

  // Copies the good records of a damaged pack into a new one; the damaged file goes to quarantine.
  Result<void> clear_pack(const std::string& pack) {
    CAIRN_TRY(const auto row, index_->pack(pack));
    const auto records = row ? static_cast<std::uint32_t>(row->records) : 0U;
    const PackVerdict verdict = check_pack(backend_, pack, &keys_, records, buffer_);
    CAIRN_CHECK(pay(verdict.bytes));
    if (verdict.state == PackState::unreadable) {
      note("pack " + pack + ": " + verdict.because);
      return {};
    }
    if (verdict.state != PackState::damaged) return {};
    std::vector<IndexedPack> added;
    {
      const MutableBytes bytes = MutableBytes(buffer_).first(std::min<std::uint64_t>(verdict.bytes, buffer_.size()));
      const auto salvage = PackSalvage::open(bytes, keys_, records);
      std::vector<PackRecord> list = salvage ? salvage->records() : std::vector<PackRecord>();
      if (salvage && list.empty() && row) {
        CAIRN_TRY(list, records_that_points_need(row->number));
      }
      for (const PackRecord& record : list) {
        const auto good = salvage->read(record);
        if (!good) continue;
        CAIRN_CHECK(store(record.name, record.place.kind, (*good)->view(), added));
        ++report_.saved_records;
      }
      CAIRN_CHECK(close_pack(added));
    }
    CAIRN_CHECK(quarantine(backend_, pack_object(pack)));
    if (row)
      CAIRN_CHECK(index_->retire({&row->number, 1}, Retired::damaged, added));
    else
      CAIRN_CHECK(index_->add(added));
    CAIRN_CHECK(backend_.remove(pack_object(pack)));
    if (row) CAIRN_CHECK(index_->drop({&row->number, 1}));
    CAIRN_CHECK(index_->renew_epoch());
    report_.packs_cleared.push_back(pack);
    log_event(LogLevel::warning, "pack-cleared", backend_.location(),
              {{"pack", pack}, {"kept", quarantine_object(pack_object(pack))}});
    return {};
  }

  // A file in quarantine is no damage any more; the records that were lost with it are.
  Result<void> forget_cleared() {
    if (report_.packs_cleared.empty()) return {};
    CAIRN_TRY(Damage damage, load_damage(store_));
    std::erase_if(damage.packs, [&](const DamagedPack& pack) {
      return std::ranges::find(report_.packs_cleared, pack.name) != report_.packs_cleared.end();
    });
    return save_damage(store_, damage);
  }

  // Of a pack whose footer is lost: the index still says where they were.
  Result<std::vector<PackRecord>> records_that_points_need(PackNumber pack) {
    CAIRN_TRY(const auto rows, index_->packs());
    BadPacks bad;
    bad[pack].unsure = true;
    StoreState& state = store_.state();
    DamageWalk walk(store_.chunks(), *index_, keys_.keys.namer(), state.document.chunk_size, rows, bad);
    CAIRN_TRY(const auto points, store_.points().list_stored());
    std::uint64_t disks = 0;
    CAIRN_CHECK(damaged_disks(store_, walk, points, options_.verify.stop, disks));
    const auto met = walk.met_unsure().find(pack);
    std::vector<PackRecord> records;
    if (met == walk.met_unsure().end()) return records;
    for (const auto& [name, place] : met->second) records.push_back({name, place});
    return records;
  }

  // --- new packs

  Result<void> store(const ChunkName& name, RecordKind kind, ByteView bytes, std::vector<IndexedPack>& added) {
    if (!builder_) builder_.emplace(keys_.keys, store_.state().document.algorithm, keys_.store);
    append_record(*builder_, {name, kind, Compress::try_it, bytes}, compressed_);
    return builder_->size() >= kPackTargetBytes ? close_pack(added) : Result<void>();
  }

  Result<void> close_pack(std::vector<IndexedPack>& added) {
    if (!builder_) return {};
    FinishedPack pack = builder_->finish();
    builder_.reset();
    const ByteView parts[] = {pack.bytes};
    CAIRN_CHECK(backend_.put(pack.object(), parts, IfExists::fail));
    // Into a buffer of its own: the damaged pack may still lie in the other one.
    BulkBuffer read_back;
    std::swap(read_back, buffer_);
    auto checked = check_written(pack.name);
    std::swap(read_back, buffer_);
    CAIRN_CHECK(checked);
    CAIRN_CHECK(pay(pack.bytes.size()));
    added.push_back({std::move(pack.name), pack.bytes.size(), std::move(pack.records)});
    return {};
  }

  // --- what is lost

  Result<void> find_lost() {
    StoreState& state = store_.state();
    for (int round = 0; round < kMostRounds; ++round) {
      CAIRN_TRY(const auto rows, index_->packs());
      BadPacks bad;
      for (const PackRow& row : rows)
        if (row.retired == Retired::damaged) bad[row.number].unsure = true;
      DamageWalk walk(store_.chunks(), *index_, keys_.keys.namer(), state.document.chunk_size, rows, bad);
      CAIRN_TRY(const auto points, store_.points().list_stored());
      std::uint64_t disks = 0;
      CAIRN_CHECK(damaged_disks(store_, walk, points, options_.verify.stop, disks));
      Names wanted(walk.lost().begin(), walk.lost().end());
      if (wanted.empty()) return {};
      const std::size_t before = wanted.size();
      std::vector<IndexedPack> added;
      CAIRN_TRY(const auto objects, backend_.list("packs/"));
      CAIRN_CHECK(take_from(backend_, pack_names_of(objects), wanted, added));
      if (replica_) CAIRN_CHECK(take_from(*replica_, replica_packs_, wanted, added));
      CAIRN_CHECK(close_pack(added));
      CAIRN_CHECK(index_->add(added));
      state.packs.clear();
      if (wanted.size() == before) return {};
      report_.found_records += before - wanted.size();
    }
    return {};
  }

  // Stores the wanted records that are good in one of these packs again, and takes them out of `wanted`.
  Result<void> take_from(Backend& from, const std::vector<std::string>& packs, Names& wanted,
                         std::vector<IndexedPack>& added) {
    for (const std::string& name : packs) {
      if (wanted.empty()) return {};
      CAIRN_CHECK(pay(kPackTrailerBytes));
      const auto pack = PackReader::open(from, name, keys_.keys, keys_.store);
      const auto records = pack ? (*pack)->read_footer() : Result<std::vector<PackRecord>>(pass_on(pack.error()));
      if (!records) {
        if (&from != &backend_) note(records.error().message());
        continue;
      }
      for (const PackRecord& record : *records) {
        const auto want = wanted.find(record.name);
        if (want == wanted.end() || want->second != record.place.kind) continue;
        const auto bytes = (*pack)->read_record(record.name, record.place);
        if (!bytes || keys_.keys.namer().name(record.place.kind, (*bytes)->view()) != record.name) continue;
        CAIRN_CHECK(pay((*bytes)->size()));
        CAIRN_CHECK(store(record.name, record.place.kind, (*bytes)->view(), added));
        wanted.erase(want);
      }
    }
    return {};
  }

  Store& store_;
  const RepairOptions& options_;
  const Clock& clock_;
  const PackKeys keys_;
  Backend& backend_;
  RateLimit rate_;
  RepairReport report_;
  std::shared_ptr<Backend> replica_;
  std::vector<std::string> replica_packs_;
  std::shared_ptr<Index> index_;
  BulkBuffer buffer_;
  std::optional<PackBuilder> builder_;
  Buffer compressed_;
};

}  // namespace

Result<RepairReport> repair_store(Store& store, const RepairOptions& options, const Clock& clock) {
  return Repair(store, options, clock).run();
}

Result<void> verdict_of(const RepairReport& report, const std::string& store) {
  auto left = verdict_of(report.after, store);
  if (report.after.clean() || left) return left;
  return fail(ErrorCode::not_repaired, "repair", store, "what is left: " + left.error().because);
}

nlohmann::json to_json(const RepairReport& report) {
  nlohmann::json document = to_json(report.after);
  document["before"] = to_json(report.before);
  document["repair"] = {{"index_rebuilt", report.index_rebuilt},
                        {"document_repaired", report.document_repaired},
                        {"packs_copied", report.packs_copied},
                        {"packs_cleared", report.packs_cleared},
                        {"saved_records", report.saved_records},
                        {"found_records", report.found_records},
                        {"points_copied", report.points_copied},
                        {"newest_repaired", report.newest_repaired},
                        {"problems", report.problems}};
  return document;
}

}  // namespace cairn
