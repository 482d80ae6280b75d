// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/verify/verify.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <unordered_set>

#include "config/base/error.h"
#include "config/base/log.h"
#include "fs/store/document_pair.h"
#include "fs/store/point/point_file.h"
#include "fs/store/store_state.h"
#include "fs/store/verify/damage_walk.h"
#include "fs/store/verify/rebuild_index.h"
#include "fs/store/verify/verify_points.h"
#include "fs/store/write/store_writer.h"
#include "fs/store/write/writer_core.h"

namespace cairn {
namespace {

using std::chrono::steady_clock;

// How often times of checks are recorded while packs are read: what a crash makes verify again.
constexpr std::chrono::seconds kRecordEvery{60};

class Verify {
 public:
  Verify(Store& store, const VerifyOptions& options, const Clock& clock)
      : store_(store), options_(options), clock_(clock), rate_(options.rate) {}

  Result<VerifyReport> run() {
    const auto began = steady_clock::now();
    StoreState& state = store_.state();
    keys_.emplace(PackKeys{state.keys, state.document.id});
    state.packs.clear();  // an open file would hide that its name is gone
    auto known = load_damage(store_);
    if (known) known_ = *std::move(known);
    if (options_.structure) check_documents();
    CAIRN_CHECK(open_index());
    auto read = read_packs();
    if (!read && read.error().code != ErrorCode::cancelled) return pass_on(std::move(read).error());
    auto walked = read ? find_points() : Result<void>();
    if (!walked && walked.error().code != ErrorCode::cancelled) return pass_on(std::move(walked).error());
    const bool complete = read && walked;
    CAIRN_CHECK(record(complete));
    report_.took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began);
    if (!read) return pass_on(std::move(read).error());
    if (!walked) return pass_on(std::move(walked).error());
    return std::move(report_);
  }

 private:
  void check_documents() {
    StoreState& state = store_.state();
    const DocumentPairState pair = check_store_documents(*state.backend, state.places.objects.path, state.keys);
    for (const auto& error : {pair.document, pair.copy}) {
      if (!error) continue;
      // A store of before there was a copy: the next backup makes it.
      if (&error != &pair.document && error->code == ErrorCode::store_missing) continue;
      if (is_damage_error(*error))
        report_.damage.documents.push_back(error->message());
      else
        report_.unreadable.push_back(error->message());
    }
  }

  Result<void> open_index() {
    StoreState& state = store_.state();
    auto index = state.index.newest();
    auto rows = index ? (*index)->packs() : Result<std::vector<PackRow>>(pass_on(index.error()));
    if (!rows) {
      report_.index = rows.error();
      // It is only a cache: everything is looked at without it.
      index = state.unlisted.index_of_all();
      if (!index) {
        report_.unreadable.push_back(index.error().message());
        return {};
      }
      if (*index == nullptr) return {};
      index_is_private_ = true;
      CAIRN_TRY(rows, (*index)->packs());
    }
    // What a private index has of packs that are listed, or gone, since: it does not count any more.
    if (!index_is_private_) CAIRN_CHECK(state.unlisted.trouble());
    index_ = *index;
    rows_ = *rows;
    std::erase_if(rows_, [](const PackRow& row) { return row.retired == Retired::gone; });
    return {};
  }

  // Which packs are there, with which size; and reads those that are to be read.
  Result<void> read_packs() {
    StoreState& state = store_.state();
    CAIRN_TRY(const auto objects, state.backend->list("packs/"));
    std::vector<std::string> files = pack_names_of(objects);
    std::ranges::sort(files);
    std::set<std::string> to_read;  // in any case: they were not well before
    for (const DamagedPack& pack : known_.packs) to_read.insert(pack.name);
    for (const PackRow& row : rows_) {
      ++report_.packs;
      report_.pack_bytes += row.size;
      if (!std::ranges::binary_search(files, row.name)) {
        to_read.insert(row.name);  // finds out why
      } else if (options_.structure) {
        const auto object = state.backend->open(pack_object(row.name));
        if (!object || (*object)->size() != row.size) to_read.insert(row.name);
      }
      if (row.retired == Retired::damaged) to_read.insert(row.name);
    }
    std::vector<std::string> unknown;
    if (options_.structure && index_) {
      std::unordered_set<std::string_view> indexed;
      for (const PackRow& row : rows_) indexed.insert(row.name);
      for (const std::string& file : files)
        if (!indexed.contains(file)) unknown.push_back(file);
    }
    if (!index_ && options_.data_percent > 0) unknown = files;  // all that can be checked then
    CAIRN_TRY(std::vector<PackToCheck> packs, choose(to_read));
    for (const std::string& name : unknown) {
      packs.push_back({name, 0, rows_.size()});
    }
    for (const DamagedPack& pack : known_.packs)  // forgotten by the index since
      if (std::ranges::find(packs, pack.name, &PackToCheck::name) == packs.end())
        packs.push_back({pack.name, 0, rows_.size()});
    return check(packs);
  }

  Result<std::vector<PackToCheck>> choose(const std::set<std::string>& to_read) {
    std::vector<PackToCheck> packs;
    std::vector<std::size_t> order(rows_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::vector<PackNumber> numbers;
    for (const PackRow& row : rows_) numbers.push_back(row.number);
    std::vector<std::optional<UtcTime>> times;
    if (index_) {
      CAIRN_TRY(times, index_->verified(numbers));
    }
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return times[i].value_or(UtcTime::min()); });
    const double share = std::clamp(options_.data_percent, 0.0, 100.0) / 100;
    const std::uint64_t wanted =
        options_.at_most ? *options_.at_most
                         : static_cast<std::uint64_t>(std::ceil(static_cast<double>(report_.pack_bytes) * share));
    std::uint64_t chosen = 0;
    for (const std::size_t i : order) {
      const PackRow& row = rows_[i];
      const bool forced = to_read.contains(row.name);
      const bool due = !options_.at_most || !times[i] || *times[i] <= options_.not_since;
      const bool taken = due && chosen < wanted;
      if (taken) chosen += row.size;
      if (taken || forced) packs.push_back({row.name, static_cast<std::uint32_t>(row.records), i});
    }
    all_read_ = index_ != nullptr && packs.size() == rows_.size();
    total_ = 0;
    for (const PackToCheck& pack : packs) total_ += rows_[pack.index].size;
    return packs;
  }

  Result<void> check(std::span<const PackToCheck> packs) {
    StoreState& state = store_.state();
    PackCheckOptions options;
    options.threads = options_.threads;
    options.keys = &*keys_;
    options.rate = &rate_;
    options.stop = options_.stop;
    auto last_record = steady_clock::now();
    return check_packs(*state.backend, packs, options, [&](const PackToCheck& pack, const PackVerdict& verdict) {
      take(pack, verdict);
      if (options_.progress) options_.progress(report_.bytes_read, std::max(total_, report_.bytes_read));
      if (steady_clock::now() - last_record > kRecordEvery) {
        last_record = steady_clock::now();
        return record_times();
      }
      return Result<void>();
    });
  }

  void take(const PackToCheck& pack, const PackVerdict& verdict) {
    report_.bytes_read += verdict.bytes;
    if (verdict.state != PackState::unreadable) looked_at_.insert(pack.name);
    if (verdict.bytes != 0) ++report_.packs_read;
    const bool indexed = pack.index < rows_.size();
    if (verdict.state == PackState::unreadable) {
      report_.unreadable.push_back("pack " + pack.name + ": " + verdict.because);
      return;
    }
    if (verdict.state == PackState::whole) {
      if (!indexed) ++report_.new_packs;
      if (indexed) {
        whole_.push_back(rows_[pack.index].number);
        if (rows_[pack.index].retired == Retired::damaged) whole_again_.push_back(rows_[pack.index].number);
        compare_entries(rows_[pack.index], verdict);
      }
      return;
    }
    // Removed by garbage collection since it was listed.
    if (verdict.state == PackState::missing && indexed && !is_still_wanted(pack)) return;
    DamagedPack damaged{pack.name, verdict.state, clock_.now(), verdict.because};
    for (const DamagedPack& before : known_.packs)
      if (before.name == pack.name) damaged.found = before.found;
    report_.damage.packs.push_back(std::move(damaged));
    if (!indexed) return;
    if (auto bad = bad_pack_of(verdict)) bad_.insert_or_assign(rows_[pack.index].number, *std::move(bad));
    if (rows_[pack.index].retired == Retired::no) to_retire_.push_back(rows_[pack.index].number);
  }

  bool is_still_wanted(const PackToCheck& pack) {
    const auto row = index_->pack(pack.name);
    if (!row) return true;
    return *row && (*row)->retired != Retired::unneeded && (*row)->retired != Retired::gone;
  }

  // The index must say of a whole pack what its footer says.
  void compare_entries(const PackRow& row, const PackVerdict& verdict) {
    std::vector<ChunkName> names;
    for (const PackRecord& record : verdict.records) names.push_back(record.name);
    std::vector<std::optional<IndexEntry>> entries(names.size());
    if (!index_->places(names, entries)) return;  // the walk reports it
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const RecordPlace& place = verdict.records[i].place;
      const bool here = entries[i] && entries[i]->pack == row.number;
      // A pack on its way out has no entries of its own any more where others have the same.
      if (!entries[i] ? row.retired == Retired::no
                      : here && (entries[i]->place.number != place.number || entries[i]->place.offset != place.offset ||
                                 entries[i]->place.sealed_bytes != place.sealed_bytes ||
                                 entries[i]->place.raw_bytes != place.raw_bytes ||
                                 entries[i]->place.kind != place.kind || entries[i]->place.encoding != place.encoding))
        ++report_.wrong_entries;
    }
  }

  // Points, the chain, and where disks cannot be read.
  Result<void> find_points() {
    if (!options_.structure && to_retire_.empty() && report_.damage.packs.empty() && known_.none()) return {};
    StoreState& state = store_.state();
    CAIRN_TRY(PointsFound found, look_at_points(store_, known_, options_.accept_gaps));
    report_.points = found.points.size();
    report_.damage.gaps = std::move(found.gaps);
    report_.damage.accepted_gaps = std::move(found.accepted_gaps);
    report_.damage.documents.insert(report_.damage.documents.end(), found.documents.begin(), found.documents.end());
    report_.unreadable.insert(report_.unreadable.end(), found.unreadable.begin(), found.unreadable.end());
    report_.damage.points = std::move(found.damaged);
    points_seen_ = true;
    if (!index_) return {};
    DamageWalk walk(store_.chunks(), *index_, state.keys.namer(), state.document.chunk_size, rows_, bad_);
    UnlistedSource unlisted{state.unlisted, {}};
    for (const DamagedPack& pack : report_.damage.packs) unlisted.bad.insert(pack.name);
    walk.look_into(unlisted);
    const std::vector<PointDamage> unopened = report_.damage.points;
    for (;;) {
      walk.start_afresh();
      report_.disks = 0;
      CAIRN_TRY(report_.damage.points, damaged_disks(store_, walk, found.points, options_.stop, report_.disks));
      report_.damage.points.insert(report_.damage.points.end(), unopened.begin(), unopened.end());
      // A node that cannot be read may be the index's fault, or its whole pack's: that pack is looked at, and then all
      // disks again, for chunks of it may have passed as good.
      if (!check_suspects(walk)) break;
    }
    report_.nodes = walk.nodes();
    report_.chunks = walk.chunks();
    if (walk.unreadable()) report_.unreadable.push_back(walk.unreadable()->message());
    for (const auto& [name, kind] : walk.lost()) report_.damage.lost.push_back({name, kind});
    std::ranges::sort(report_.damage.lost, {}, &LostRecord::name);
    // An index of before the packs: what a collection has removed since is in packs that it does not know.
    const bool outdated = walk.met_unlisted() != 0 && !report_.index;
    if (outdated) {
      CAIRN_TRY(report_.index, state.unlisted.trouble());
    }
    // A pack that is gone matters as long as something of it may be missing.
    if (report_.damage.lost.empty())
      std::erase_if(report_.damage.packs, [&](const DamagedPack& pack) {
        return pack.state == PackState::missing &&
               (outdated || std::ranges::find(rows_, pack.name, &PackRow::name) == rows_.end());
      });
    maps_walked_ = true;
    std::ranges::sort(report_.damage.points, {}, &PointDamage::point);
    return {};
  }

  // True: something bad was found that the walk did not know.
  bool check_suspects(const DamageWalk& walk) {
    StoreState& state = store_.state();
    bool news = false;
    BulkBuffer buffer;
    for (const PackNumber number : walk.suspects()) {
      if (!suspected_.insert(number).second) continue;
      const auto row = std::ranges::find(rows_, number, &PackRow::number);
      if (row == rows_.end()) continue;
      const std::size_t bad_before = bad_.size();
      const PackToCheck pack{row->name, static_cast<std::uint32_t>(row->records),
                             static_cast<std::size_t>(row - rows_.begin())};
      const PackVerdict verdict = check_pack(*state.backend, pack.name, &*keys_, pack.records, buffer);
      if (verdict.state == PackState::whole) ++report_.wrong_entries;
      take(pack, verdict);
      news = news || bad_.size() != bad_before;
    }
    return news;
  }

  Result<std::shared_ptr<StoreWriter>> writer() {
    auto writer = begin_writing(store_, "verify");
    if (!writer) report_.not_recorded = writer.error().message();
    return writer;
  }

  // Times only; somebody else's lock is no reason to stop.
  Result<void> record_times() {
    if (whole_.empty() || !index_ || index_is_private_) return {};
    const auto held = writer();
    if (!held) return {};
    CAIRN_CHECK(index_->set_verified(whole_, clock_.now()));
    whole_.clear();
    return {};
  }

  Result<void> record(bool complete) {
    Damage& damage = report_.damage;
    keep_what_was_known();
    if (!damage.none()) damage.found = known_.none() ? clock_.now() : known_.found;
    report_.complete =
        complete && options_.structure && options_.data_percent >= 100 && all_read_ && report_.unreadable.empty();
    const bool nothing_new = damage == known_ && whole_.empty() && to_retire_.empty() && whole_again_.empty();
    if (nothing_new && !(report_.complete && damage.none())) {
      // Whoever wrote down what is known may have failed before it was on the disk for good.
      const auto settled = damage.none() ? Result<void>() : store_.state().backend->settle("");
      report_.recorded = settled.has_value();
      if (!settled) report_.not_recorded = settled.error().message();
      return {};
    }
    const auto held = writer();
    if (!held) return {};
    // Taken only now: what the writer found gone it has forgotten, and another process may have rebuilt the index.
    StoreState& state = store_.state();
    if (index_ && !index_is_private_ && !index_->replaced()) CAIRN_CHECK(record_in_index(state));
    if (damage != known_) CAIRN_CHECK(save_damage(store_, damage));
    if (report_.complete && damage.none()) CAIRN_CHECK(empty_quarantine(*state.backend));
    report_.recorded = true;
    report_.not_recorded.clear();
    return {};
  }

  Result<void> relist_whole_again(StoreState& state) {
    if (whole_again_.empty()) return {};
    CAIRN_TRY(const auto core, writer_core_of(state, "verify"));
    // A repair that this is a part of holds it already; a collection does not want packs to change numbers.
    const auto turn = core->collecting.take("a verification", "verify", state.places.name());
    if (!turn) return {};
    for (const PackNumber number : whole_again_)
      CAIRN_CHECK(relist_pack(state, *index_, *std::ranges::find(rows_, number, &PackRow::number)));
    return {};
  }

  Result<void> record_in_index(StoreState& state) {
    CAIRN_TRY(const auto now, index_->packs());
    const auto still_there = [&](PackNumber number) {
      return std::ranges::find(now, number, &PackRow::number) != now.end();
    };
    std::erase_if(to_retire_, [&](PackNumber number) { return !still_there(number); });
    std::erase_if(whole_again_, [&](PackNumber number) { return !still_there(number); });
    if (!to_retire_.empty()) {
      CAIRN_CHECK(index_->retire(to_retire_, Retired::damaged));
      for (const PackNumber number : to_retire_)
        log_event(LogLevel::error, "pack-damaged", state.places.name(),
                  {{"pack", std::ranges::find(rows_, number, &PackRow::number)->name},
                   {"effect", "its chunks will be stored anew"}});
    }
    CAIRN_CHECK(relist_whole_again(state));
    CAIRN_CHECK(index_->set_verified(whole_, clock_.now()));
    whole_.clear();
    return {};
  }

  // What was not looked at to the end stays as it was known.
  void keep_what_was_known() {
    Damage& damage = report_.damage;
    if (!maps_walked_) {
      damage.lost = known_.lost;
      damage.lost_more = known_.lost_more;
      for (const PointDamage& point : known_.points)
        if (std::ranges::find(damage.points, point.point, &PointDamage::point) == damage.points.end() &&
            (!points_seen_ || !point.disks.empty()))
          damage.points.push_back(point);
    }
    if (!points_seen_) {
      damage.gaps = known_.gaps;
      damage.accepted_gaps = known_.accepted_gaps;
    }
    if (!options_.structure || !points_seen_) damage.documents = known_.documents;
    for (const DamagedPack& pack : known_.packs)
      if (!looked_at_.contains(pack.name)) damage.packs.push_back(pack);
    std::ranges::sort(damage.packs, {}, &DamagedPack::name);
  }

  static Result<void> empty_quarantine(Backend& backend) {
    CAIRN_TRY(const auto objects, backend.list("aside/"));
    for (const std::string& object : objects) CAIRN_CHECK(backend.remove(object));
    return {};
  }

  Store& store_;
  const VerifyOptions& options_;
  const Clock& clock_;
  RateLimit rate_;
  std::optional<PackKeys> keys_;
  Damage known_;
  VerifyReport report_;
  std::shared_ptr<Index> index_;   // null: it cannot be used, and neither can a private one
  bool index_is_private_ = false;  // made for this verify, since the store's cannot be used
  std::vector<PackRow> rows_;
  std::uint64_t total_ = 0;
  bool all_read_ = false;
  bool points_seen_ = false;
  bool maps_walked_ = false;
  std::unordered_set<std::string> looked_at_;  // packs
  BadPacks bad_;
  std::unordered_set<PackNumber> suspected_;
  std::vector<PackNumber> whole_;        // not recorded yet
  std::vector<PackNumber> to_retire_;    // found damaged, and not retired
  std::vector<PackNumber> whole_again_;  // retired as damaged, and whole again
};

}  // namespace

Result<VerifyReport> verify_store(Store& store, const VerifyOptions& options, const Clock& clock) {
  return Verify(store, options, clock).run();
}

}  // namespace cairn
